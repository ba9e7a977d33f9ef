"""Recommenders without a neural network, ranked by the same rules as the model.

Each is fitted on training sessions and gives `SparseScores` for the prefixes of the test sessions. An item that a
recommender has no score for comes after all others, by popularity.

What each reads of a prefix, which is cut to the newest events as the model's is:

    popularity                          nothing
    markov, sequential_rules, item_knn  the newest known item
    session_popularity                  how often each item occurs
    v_sknn, stan                        each item where it occurs last, and how many known events there are (v_sknn)
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

MAX_TRAINING_LENGTH = 1_000  # events of a training session whose items are all paired with one another


def make_baselines(sessions: Sessions, prefixes: Prefixes, *, num_items: int) -> dict[str, Callable[[], SparseScores]]:
    """All baselines by name, each fitted when it is called for.

    Those that compare whole training sessions (`item_knn`, `v_sknn`, `stan`) read one of more than MAX_TRAINING_LENGTH
    events as several, since their cost grows with the square of its length.

    Args:
        sessions: what the model was trained on, in chronological order.
        prefixes: the queries.
        num_items: the catalogue's size.
    """
    popularity = _popularity(sessions, num_items)
    pieces = split_long_sessions(sessions, max_length=MAX_TRAINING_LENGTH)
    nothing = np.zeros(0, np.int64)

    @functools.cache
    def neighbours() -> SessionNeighbours:
        return SessionNeighbours(pieces, num_items)

    def from_newest(similarity: sparse.csr_array) -> Scorer:
        return lambda rows: prefixes.newest(rows, num_items) @ similarity

    added: dict[str, Callable[[], Scorer]] = {
        "popularity": lambda: lambda rows: prefixes.count(nothing, nothing, rows, num_items),
        # How often the prefix itself holds an item; S-POP of Hidasi et al. 2016.
        "session_popularity": lambda: lambda rows: prefixes.count(*prefixes.tile(rows)[:2], rows, num_items),
        "markov": lambda: from_newest(followers(sessions, num_items, max_steps=1)),
        "sequential_rules": lambda: from_newest(followers(sessions, num_items, max_steps=10)),
        "item_knn": lambda: from_newest(cosine_similarity(pieces, num_items)),
        "v_sknn": lambda: neighbours().v_sknn(prefixes),
        "stan": lambda: neighbours().stan(prefixes),
    }

    def make(fit: Callable[[], Scorer]) -> Callable[[], SparseScores]:
        return lambda: SparseScores(shared=popularity, added=fit())

    return {name: make(fit) for name, fit in added.items()}


def split_long_sessions(sessions: Sessions, *, max_length: int) -> Sessions:
    """Cuts each session of more than `max_length` events into pieces of that many, the last one shorter."""
    num_pieces = -(-sessions.lengths // max_length)
    session = np.repeat(np.arange(sessions.num_sessions), num_pieces)
    number = np.arange(len(session)) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces)
    return Sessions(
        session_ids=sessions.session_ids.take(session),
        items=sessions.items,
        offsets=np.append(sessions.offsets[session] + number * max_length, sessions.offsets[-1]),
    )


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
