"""Recommenders without a neural network, for the same scorer as the model.

Each is fitted on training sessions and gives `SparseScores` for the prefixes of the test sessions. An item that a
recommender knows nothing of is ordered by popularity behind all others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from components.core.ranking import Floats
from components.core.sequences import Sessions
from components.core.sparse_ranking import SparseScores
from components.core.vocabulary import UNKNOWN

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Prefixes:
    """What stands before each target, one prefix after the other.

    Attributes:
        items: [num_items_of_all] item indices from 0, which is the vocabulary's index 1; unknown items are left out.
        offsets: [num_queries + 1]; query i has the items offsets[i] to offsets[i + 1], the newest last.
    """

    items: Ints
    offsets: Ints

    @classmethod
    def before(cls, sessions: Sessions, events: Ints) -> "Prefixes":
        """The prefixes of the target `events`, indices into `sessions.items`."""
        start = sessions.offsets[np.searchsorted(sessions.offsets, events, side="right") - 1]
        length = events - start
        query = np.repeat(np.arange(len(events)), length)
        within = np.arange(len(query)) - np.repeat(np.cumsum(length) - length, length)
        items = sessions.items[start[query] + within]
        known = items != UNKNOWN
        counts = np.bincount(query[known], minlength=len(events))
        return cls(items=items[known].astype(np.int64) - 1, offsets=np.append(0, np.cumsum(counts)))

    def tile(self, rows: slice) -> tuple[Ints, Ints, Ints]:
        """Query from 0, item, and steps back from the newest item (0), of each item of a slice of the queries."""
        begin, end, _ = rows.indices(len(self.offsets) - 1)
        length = np.diff(self.offsets[begin : end + 1])
        query = np.repeat(np.arange(end - begin), length)
        items = self.items[self.offsets[begin] : self.offsets[end]]
        back = np.repeat(self.offsets[begin + 1 : end + 1], length) - np.arange(self.offsets[begin], self.offsets[end])
        return query, items, back - 1

    def newest(self, rows: slice, num_items: int) -> sparse.csr_array:
        """[num_rows, num_items] with a 1 at each query's newest item."""
        query, items, back = self.tile(rows)
        is_newest = back == 0
        return self.count(query[is_newest], items[is_newest], rows, num_items)

    def count(self, query: Ints, items: Ints, rows: slice, num_items: int) -> sparse.csr_array:
        """[num_rows, num_items] how often each item is given for each query of a slice."""
        num_rows = len(range(*rows.indices(len(self.offsets) - 1)))
        return sparse.csr_array((np.ones(len(query), np.float32), (query, items)), shape=(num_rows, num_items))


def make_baselines(sessions: Sessions, prefixes: Prefixes, *, num_items: int) -> dict[str, Callable[[], SparseScores]]:
    """All baselines by name, each fitted when it is called for.

    Args:
        sessions: what the model was trained on, in chronological order.
        prefixes: the queries.
        num_items: the catalogue's size.
    """
    popularity = _popularity(sessions, num_items)
    nothing = np.zeros(0, np.int64)

    def from_newest(similarity: sparse.csr_array) -> Callable[[slice], sparse.csr_array]:
        return lambda rows: prefixes.newest(rows, num_items) @ similarity

    added: dict[str, Callable[[], Callable[[slice], sparse.csr_array]]] = {
        "popularity": lambda: lambda rows: prefixes.count(nothing, nothing, rows, num_items),
        # How often the session itself holds an item; S-POP of Hidasi et al. 2016.
        "session_popularity": lambda: lambda rows: prefixes.count(*prefixes.tile(rows)[:2], rows, num_items),
        "markov": lambda: from_newest(followers(sessions, num_items, max_steps=1)),
        "sequential_rules": lambda: from_newest(followers(sessions, num_items, max_steps=10)),
        "item_knn": lambda: from_newest(cosine_similarity(sessions, num_items)),
        "v_sknn": lambda: SessionNeighbours(sessions, num_items).scorer(prefixes),
    }

    def make(fit: Callable[[], Callable[[slice], sparse.csr_array]]) -> Callable[[], SparseScores]:
        return lambda: SparseScores(shared=popularity, added=fit())

    return {name: make(fit) for name, fit in added.items()}


def _popularity(sessions: Sessions, num_items: int) -> Floats:
    """[num_items] counts, scaled below the smallest score that any baseline gives on its own."""
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


def _membership(sessions: Sessions, num_items: int) -> sparse.csr_array:
    """[num_sessions, num_items] with a 1 where the session holds the item."""
    session = np.repeat(np.arange(sessions.num_sessions), sessions.lengths)
    known = sessions.items != UNKNOWN
    ones = np.ones(known.sum(), np.float32)
    shape = (sessions.num_sessions, num_items)
    matrix = sparse.csr_array((ones, (session[known], sessions.items[known] - 1)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def cosine_similarity(sessions: Sessions, num_items: int, *, regularization: float = 20.0) -> sparse.csr_array:
    """[num_items, num_items] of sessions that hold both items / sqrt of those that hold either.

    Item-kNN of Hidasi et al. 2016, section 4; the regularization, added to each count, keeps pairs of rare items
    from the top. An item is not its own neighbour.
    """
    membership = _membership(sessions, num_items)
    norm = np.sqrt(membership.sum(axis=0) + regularization)
    together = (membership.T @ membership).tocoo()
    apart = together.row != together.col
    row, col = together.row[apart], together.col[apart]
    values = (together.data[apart] / (norm[row] * norm[col])).astype(np.float32)
    return sparse.csr_array((values, (row, col)), shape=(num_items, num_items))


class SessionNeighbours:
    """V-SKNN of Ludewig & Jannach 2018, section 3.4: what the most similar sessions held.

    Of the `num_recent` newest sessions that share an item with the query, the `num_neighbours` most similar vote:
    the similarity is the sum over shared items of a weight that falls linearly from the query's newest item to
    its oldest. A neighbour's vote weighs its similarity, less by 0.1 for every step back to the newest shared item.
    """

    def __init__(
        self, sessions: Sessions, num_items: int, *, num_recent: int = 1_000, num_neighbours: int = 500
    ) -> None:
        self.membership = _membership(sessions, num_items)
        self.sessions_of = self.membership.T.tocsr()
        self.num_recent = num_recent
        self.num_neighbours = num_neighbours

    def scorer(self, prefixes: Prefixes) -> Callable[[slice], sparse.csr_array]:
        """Gives the scores [num_rows, num_items] of a slice of the queries."""

        def score(rows: slice) -> sparse.csr_array:
            num_rows = len(range(*rows.indices(len(prefixes.offsets) - 1)))
            votes = self._votes(*prefixes.tile(rows), num_rows=num_rows)
            scores: sparse.csr_array = votes @ self.membership
            return scores

        return score

    def _votes(self, query: Ints, items: Ints, back: Ints, *, num_rows: int) -> sparse.csr_array:
        """[num_rows, num_sessions] what each training session's vote weighs."""
        if len(items) == 0:
            return sparse.csr_array(np.zeros((num_rows, len(self.membership.indptr) - 1), np.float32))
        length = np.bincount(query, minlength=num_rows)
        # Every pair of an item of a query and a training session that holds it.
        first, last = self.sessions_of.indptr[items], self.sessions_of.indptr[items + 1]
        origin = np.repeat(np.arange(len(items)), last - first)
        within = np.arange(len(origin)) - np.repeat(np.cumsum(last - first) - (last - first), last - first)
        session = self.sessions_of.indices[first[origin] + within]
        weight = 1.0 - back[origin] / length[query[origin]]
        # An item that the query repeats counts once, where it is newest.
        order = np.lexsort((back[origin], items[origin], session, query[origin]))
        keys = np.stack([query[origin], session, items[origin]], axis=1)[order]
        newest = np.append(True, (np.diff(keys, axis=0) != 0).any(axis=1))
        order, keys = order[newest], keys[newest]
        # Sum the weights, and find the newest shared item, of each pair of query and session.
        starts = np.flatnonzero(np.append(True, (np.diff(keys[:, :2], axis=0) != 0).any(axis=1)))
        similarity = np.add.reduceat(weight[order], starts)
        steps = np.minimum.reduceat(back[origin][order], starts)
        pair_query, pair_session = keys[starts, 0], keys[starts, 1]
        recent = _largest(pair_query, pair_session, self.num_recent)
        nearest = recent[_largest(pair_query[recent], similarity[recent], self.num_neighbours)]
        pair_query, pair_session, similarity, steps = (
            each[nearest] for each in (pair_query, pair_session, similarity, steps)
        )
        vote = (similarity * np.maximum(1.0 - 0.1 * steps, 0.0)).astype(np.float32)
        return sparse.csr_array((vote, (pair_query, pair_session)), shape=(num_rows, len(self.membership.indptr) - 1))


def _largest(group: Ints, value: npt.NDArray[np.number], limit: int) -> Ints:
    """Rows of the `limit` largest values of each group, in ascending order of the rows."""
    order = np.lexsort((-value, group))
    ordered = group[order]
    starts = np.flatnonzero(np.append(True, np.diff(ordered) != 0))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return np.sort(order[rank < limit])
