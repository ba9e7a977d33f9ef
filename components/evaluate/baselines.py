"""Recommenders without a neural network, for the same scorer as the model.

Each is fitted on training sessions and gives `SparseScores` for the prefixes of the test sessions. An item that a
recommender knows nothing of is ordered by popularity behind all others.
"""

import functools
from collections.abc import Callable

import numpy as np
from scipy import sparse

from components.core.ranking import Floats
from components.core.sequences import Sessions
from components.core.vocabulary import UNKNOWN
from components.evaluate.prefixes import Prefixes
from components.evaluate.session_neighbours import Scorer, SessionNeighbours, membership
from components.evaluate.sparse_ranking import SparseScores


def make_baselines(sessions: Sessions, prefixes: Prefixes, *, num_items: int) -> dict[str, Callable[[], SparseScores]]:
    """All baselines by name, each fitted when it is called for.

    Args:
        sessions: what the model was trained on, in chronological order.
        prefixes: the queries.
        num_items: the catalogue's size.
    """
    popularity = _popularity(sessions, num_items)
    nothing = np.zeros(0, np.int64)

    @functools.cache
    def neighbours() -> SessionNeighbours:
        return SessionNeighbours(sessions, num_items)

    def from_newest(similarity: sparse.csr_array) -> Scorer:
        return lambda rows: prefixes.newest(rows, num_items) @ similarity

    added: dict[str, Callable[[], Scorer]] = {
        "popularity": lambda: lambda rows: prefixes.count(nothing, nothing, rows, num_items),
        # How often the session itself holds an item; S-POP of Hidasi et al. 2016.
        "session_popularity": lambda: lambda rows: prefixes.count(*prefixes.tile(rows)[:2], rows, num_items),
        "markov": lambda: from_newest(followers(sessions, num_items, max_steps=1)),
        "sequential_rules": lambda: from_newest(followers(sessions, num_items, max_steps=10)),
        "item_knn": lambda: from_newest(cosine_similarity(sessions, num_items)),
        "v_sknn": lambda: neighbours().v_sknn(prefixes),
        "stan": lambda: neighbours().stan(prefixes),
    }

    def make(fit: Callable[[], Scorer]) -> Callable[[], SparseScores]:
        return lambda: SparseScores(shared=popularity, added=fit())

    return {name: make(fit) for name, fit in added.items()}


def _popularity(sessions: Sessions, num_items: int) -> Floats:
    """[num_items] counts, scaled below what the other baselines give on their own but to the least similar."""
    counts = np.bincount(sessions.items, minlength=num_items + 1)[1:]
    return np.asarray(counts * (1e-4 / max(1, counts.max())), np.float32)


def followers(sessions: Sessions, num_items: int, *, max_steps: int) -> sparse.csr_array:
    """[num_items, num_items]: how often the column's item follows the row's, weighted by 1 / steps between them.

    With one step that is a Markov chain, with more the sequential rules of Ludewig & Jannach 2018 ("Evaluation of
    Session-based Recommendation Algorithms", section 3.1).
    """
    session = np.repeat(np.arange(sessions.num_sessions), sessions.lengths)
    pairs = []
    for steps in range(1, max_steps + 1):
        before, after = sessions.items[:-steps], sessions.items[steps:]
        kept = (session[:-steps] == session[steps:]) & (before != UNKNOWN) & (after != UNKNOWN)
        weight = np.full(kept.sum(), 1.0 / steps, np.float32)
        pairs.append(sparse.csr_array((weight, (before[kept] - 1, after[kept] - 1)), shape=(num_items, num_items)))
    matrix: sparse.csr_array = sum(pairs[1:], start=pairs[0])
    return matrix


def cosine_similarity(sessions: Sessions, num_items: int, *, regularization: float = 20.0) -> sparse.csr_array:
    """[num_items, num_items] of sessions that hold both items / sqrt of those that hold either.

    Item-kNN of Hidasi et al. 2016, section 4; the regularization, added to each count, keeps pairs of rare items
    from the top. An item is not its own neighbour.
    """
    holds = membership(sessions, num_items)
    norm = np.sqrt(holds.sum(axis=0) + regularization)
    together = (holds.T @ holds).tocoo()
    apart = together.row != together.col
    row, col = together.row[apart], together.col[apart]
    values = (together.data[apart] / (norm[row] * norm[col])).astype(np.float32)
    return sparse.csr_array((values, (row, col)), shape=(num_items, num_items))
