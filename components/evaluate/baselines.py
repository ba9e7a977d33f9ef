"""Baseline recommenders without a neural network, evaluated in the same way as the model.

Each baseline is fitted on training sessions and returns `SparseScores` for the prefixes of the test sessions. Items
without a score from the baseline rank after all others, by popularity.

Each prefix is cut to the newest events, as for the model. The baselines read from it:

    popularity                          nothing
    markov, sequential_rules, item_knn  the newest known item
    session_popularity                  the number of occurrences of each item
    v_sknn, stan                        the last occurrence of each item, and the number of known events (v_sknn)
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

MAX_TRAINING_LENGTH = 1_000  # maximum length of a training session whose items are compared pairwise


def make_baselines(sessions: Sessions, prefixes: Prefixes, *, num_items: int) -> dict[str, Callable[[], SparseScores]]:
    """Returns all baselines by name, as functions that fit the baseline when called.

    For `item_knn`, `v_sknn` and `stan`, training sessions of more than MAX_TRAINING_LENGTH events are split, since the
    cost of comparing whole sessions grows with the square of their length.

    Args:
        sessions: the training sessions of the model, in chronological order.
        prefixes: the queries.
        num_items: number of items in the catalogue.
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
        # Number of occurrences in the prefix; S-POP of Hidasi et al. 2016.
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
    """Splits sessions of more than `max_length` events into pieces of at most `max_length`."""
    num_pieces = -(-sessions.lengths // max_length)
    session = np.repeat(np.arange(sessions.num_sessions), num_pieces)
    number = np.arange(len(session)) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces)
    return Sessions(
        session_ids=sessions.session_ids.take(session),
        items=sessions.items,
        offsets=np.append(sessions.offsets[session] + number * max_length, sessions.offsets[-1]),
    )


def _popularity(sessions: Sessions, num_items: int) -> Floats:
    """Returns item counts scaled to at most 1e-4, below nearly all scores of the other baselines, [num_items]."""
    counts = np.bincount(sessions.items, minlength=num_items + 1)[1:]
    return np.asarray(counts * (1e-4 / max(1, counts.max())), np.float32)


def followers(sessions: Sessions, num_items: int, *, max_steps: int) -> sparse.csr_array:
    """Counts how often the column's item follows the row's, weighted by 1 / steps, [num_items, num_items].

    With `max_steps=1` this is a Markov chain, with more the sequential rules of Ludewig & Jannach 2018 ("Evaluation of
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
    """Returns n_ij / sqrt((n_i + regularization) (n_j + regularization)), [num_items, num_items].

    n_i is the number of sessions that contain item i, n_ij the number that contain both items. This is item-kNN as in
    Hidasi et al. 2016, section 4. The regularization lowers the similarity of rare items. The diagonal is 0.
    """
    holds = membership(sessions, num_items)
    norm = np.sqrt(holds.sum(axis=0) + regularization)
    together = (holds.T @ holds).tocoo()
    apart = together.row != together.col
    row, col = together.row[apart], together.col[apart]
    values = (together.data[apart] / (norm[row] * norm[col])).astype(np.float32)
    return sparse.csr_array((values, (row, col)), shape=(num_items, num_items))
