"""Recommenders that ask the training sessions most similar to a query: V-SKNN and STAN."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from components.core.prefixes import Prefixes
from components.core.ranking import Floats
from components.core.sequences import Sessions
from components.core.vocabulary import UNKNOWN

Ints = npt.NDArray[np.int64]
Scorer = Callable[[slice], sparse.csr_array]

SMALLEST_VOTE = 1e-3  # of STAN, beside a query's largest


def membership(sessions: Sessions, num_items: int) -> sparse.csr_array:
    """[num_sessions, num_items] with a 1 where the session holds the item."""
    session = np.repeat(np.arange(sessions.num_sessions), sessions.lengths)
    known = sessions.items != UNKNOWN
    ones = np.ones(known.sum(), np.float32)
    shape = (sessions.num_sessions, num_items)
    matrix = sparse.csr_array((ones, (session[known], sessions.items[known] - 1)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Pairs of a query and a training session that shares items with it.

    Attributes:
        query: [num_pairs] number of the query in its tile.
        session: [num_pairs] number of the training session.
        similarity: [num_pairs] float64, summed over the shared items.
        back: [num_pairs] steps from the query's newest item back to the newest that is shared.
        item: [num_pairs] that newest shared item, from 0.
    """

    query: Ints
    session: Ints
    similarity: npt.NDArray[np.float64]
    back: Ints
    item: Ints


class SessionNeighbours:
    """Finds the training sessions most similar to a query.

    Args:
        sessions: the training sessions, in chronological order.
        num_items: the catalogue's size.
        num_recent: how many of the newest sessions that share an item with a query are compared with it.
        num_neighbours: how many of these, the most similar, are asked.
    """

    def __init__(
        self, sessions: Sessions, num_items: int, *, num_recent: int = 1_000, num_neighbours: int = 500
    ) -> None:
        self.sessions = sessions
        self.membership = membership(sessions, num_items)
        self.sessions_of = self.membership.T.tocsr()
        self.num_recent = num_recent
        self.num_neighbours = num_neighbours

    def v_sknn(self, prefixes: Prefixes) -> Scorer:
        """V-SKNN of Ludewig & Jannach 2018, section 3.4: what the most similar sessions held.

        The similarity is the sum over shared items of a weight that falls linearly from the query's newest item to
        its oldest. A neighbour's vote weighs its similarity, less by 0.1 for every step back to the newest shared
        item.

        Returns:
            What gives the scores [num_rows, num_items] of a slice of the queries.
        """

        def weigh(back: Ints, length: Ints) -> Floats:
            return np.asarray(1.0 - back / length, np.float32)

        def score(rows: slice) -> sparse.csr_array:
            found = self._find(prefixes, rows, weigh)
            votes = (found.similarity * np.maximum(1.0 - 0.1 * found.back, 0.0)).astype(np.float32)
            shape = (prefixes.num_rows(rows), self.sessions.num_sessions)
            scores: sparse.csr_array = (
                sparse.csr_array((votes, (found.query, found.session)), shape=shape) @ self.membership
            )
            return scores

        return score

    def stan(self, prefixes: Prefixes, *, query_decay: float = 2.0, neighbour_decay: float = 2.0) -> Scorer:
        """STAN of Garg et al. 2019, "Sequence and Time Aware Neighborhood for Session-based Recommendations".

        The similarity is the sum over shared items of exp(-steps back / query_decay), over the square root of the
        neighbour's length. A neighbour's vote for each of its events weighs its similarity times exp(-steps between
        the event and the newest shared item / neighbour_decay). The paper's third factor, the neighbour's age, is
        left to `num_recent`. A query's votes are scaled by its largest, and those below SMALLEST_VOTE left out.

        Args:
            prefixes: the queries.
            query_decay: lambda_1, in steps.
            neighbour_decay: lambda_3, in steps.

        Returns:
            What gives the scores [num_rows, num_items] of a slice of the queries.
        """
        norm = np.sqrt(self.sessions.lengths)

        def weigh(back: Ints, length: Ints) -> Floats:
            return np.asarray(np.exp(-back / query_decay), np.float32)

        def score(rows: slice) -> sparse.csr_array:
            num_rows = prefixes.num_rows(rows)
            found = self._find(prefixes, rows, weigh, norm)
            lengths = self.sessions.lengths[found.session]
            pair = np.repeat(np.arange(len(lengths)), lengths)
            position = np.arange(len(pair)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            items = self.sessions.items[self.sessions.offsets[found.session][pair] + position].astype(np.int64) - 1
            is_shared = items == found.item[pair]
            newest = np.zeros(len(lengths), np.int64)
            np.maximum.at(newest, pair[is_shared], position[is_shared])
            votes = found.similarity[pair] * np.exp(-np.abs(position - newest[pair]) / neighbour_decay)
            query = found.query[pair]
            largest = np.zeros(num_rows)
            np.maximum.at(largest, query, votes)
            votes /= largest[query]
            kept = (votes >= SMALLEST_VOTE) & (items >= 0)
            shape = (num_rows, self.membership.shape[1])
            return sparse.csr_array((votes[kept].astype(np.float32), (query[kept], items[kept])), shape=shape)

        return score

    def _find(
        self,
        prefixes: Prefixes,
        rows: slice,
        weigh: Callable[[Ints, Ints], Floats],
        norm: npt.NDArray[np.float64] | None = None,
    ) -> Neighbours:
        """The neighbours of a slice of the queries.

        Args:
            prefixes: the queries.
            rows: the slice.
            weigh: gives the weights of items from their steps back and the lengths of their queries.
            norm: [num_sessions] what divides the similarity.
        """
        query, items, back = prefixes.tile(rows)
        weight = weigh(back, np.bincount(query)[query] if len(query) else query)
        # Every pair of an item of a query and a training session that holds it.
        first, last = self.sessions_of.indptr[items], self.sessions_of.indptr[items + 1]
        origin = np.repeat(np.arange(len(items)), last - first)
        within = np.arange(len(origin)) - np.repeat(np.cumsum(last - first) - (last - first), last - first)
        session = self.sessions_of.indices[first[origin] + within].astype(np.int64)
        # An item that the query repeats counts once, where it is newest; the newest of a pair's items comes first.
        order = np.lexsort((back[origin], items[origin], session, query[origin]))
        keys = np.stack([query[origin], session, items[origin]], axis=1)[order]
        is_newest = _begins(keys)
        order, keys = order[is_newest], keys[is_newest]
        # Sum the weights, and find the newest shared item, of each pair of query and session.
        starts = np.flatnonzero(_begins(keys[:, :2]))
        similarity = np.add.reduceat(weight[origin[order]].astype(np.float64), starts) if len(starts) else np.zeros(0)
        nearest = np.minimum.reduceat(back[origin[order]], starts) if len(starts) else starts
        found = Neighbours(
            query=keys[starts, 0],
            session=keys[starts, 1],
            similarity=similarity if norm is None else similarity / norm[keys[starts, 1]],
            back=nearest,
            item=items[np.cumsum(np.bincount(query, minlength=1))[keys[starts, 0]] - 1 - nearest],
        )
        recent = _largest(found.query, found.session, self.num_recent)
        return _take(found, recent[_largest(found.query[recent], found.similarity[recent], self.num_neighbours)])


def _take(pairs: Neighbours, rows: Ints) -> Neighbours:
    return Neighbours(**{name: values[rows] for name, values in vars(pairs).items()})


def _begins(keys: Ints) -> npt.NDArray[np.bool_]:
    """[num_rows] whether a row differs from the one above it."""
    return np.append(True, (np.diff(keys, axis=0) != 0).any(axis=1))[: len(keys)]


def _largest(group: Ints, value: npt.NDArray[np.number], limit: int) -> Ints:
    """Rows of the `limit` largest values of each group, in ascending order of the rows."""
    order = np.lexsort((-value, group))
    ordered = group[order]
    starts = np.flatnonzero(np.append(True, np.diff(ordered) != 0)[: len(ordered)])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return np.sort(order[rank < limit])
