"""Session-based nearest-neighbour recommenders: V-SKNN and STAN."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from components.core.sequences import Sessions
from components.core.vocabulary import UNKNOWN
from components.evaluate.prefixes import Prefixes, ranges

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Scorer = Callable[[slice], sparse.csr_array]

SMALLEST_VOTE = 1e-3  # smallest vote that STAN keeps, relative to a query's largest vote
MAX_PAIRS = 1 << 22  # maximum number of (query item, session with that item) pairs per piece, limits the memory


def membership(sessions: Sessions, num_items: int) -> sparse.csr_array:
    """Returns [num_sessions, num_items] with a 1 where the session contains the item."""
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
        back: [num_pairs] steps from the query's newest item back to its newest shared item.
        position: [num_pairs] last position of that item in the session, from 0.
    """

    query: Ints
    session: Ints
    similarity: Doubles
    back: Ints
    position: Ints

    def take(self, rows: Ints) -> "Neighbours":
        """Selects the pairs `rows`."""
        return Neighbours(**{name: values[rows] for name, values in vars(self).items()})


class SessionNeighbours:
    """Finds the training sessions most similar to a query.

    Args:
        sessions: the training sessions, in chronological order.
        num_items: number of items in the catalogue.
        num_recent: number of candidate sessions per query: the newest that share an item with it.
        num_neighbours: number of neighbours per query: the most similar candidates, ties broken by recency.
    """

    def __init__(
        self, sessions: Sessions, num_items: int, *, num_recent: int = 1_000, num_neighbours: int = 500
    ) -> None:
        self.sessions = sessions
        self.num_items = num_items
        self.last_position = _last_positions(sessions, num_items, num_recent)
        item = np.repeat(np.arange(num_items), np.diff(self.last_position.indptr))
        self.keys = item * sessions.num_sessions + self.last_position.indices  # ascending
        self.num_recent = num_recent
        self.num_neighbours = num_neighbours

    def v_sknn(self, prefixes: Prefixes) -> Scorer:
        """V-SKNN (Ludewig & Jannach 2018, section 3.4): scores the items of the most similar sessions.

        The similarity is the sum over shared items of a weight that decreases linearly from the query's newest item to
        its oldest. A neighbour's vote is its similarity times max(0, 1 - 0.1 * steps back to the newest shared item).

        Returns:
            A function that returns the scores [num_rows, num_items] of a slice of the queries.
        """
        holds = membership(self.sessions, self.num_items)

        def weigh(back: Ints, length: Ints) -> Doubles:
            return 1.0 - back / length

        def score(rows: slice) -> sparse.csr_array:
            found = self._find(prefixes, rows, weigh)
            votes = (found.similarity * np.maximum(1.0 - 0.1 * found.back, 0.0)).astype(np.float32)
            shape = (prefixes.num_rows(rows), self.sessions.num_sessions)
            scores: sparse.csr_array = sparse.csr_array((votes, (found.query, found.session)), shape=shape) @ holds
            return scores

        return score

    def stan(self, prefixes: Prefixes, *, query_decay: float = 2.0, neighbour_decay: float = 2.0) -> Scorer:
        """STAN (Garg et al. 2019, "Sequence and Time Aware Neighborhood for Session-based Recommendations").

        The similarity is the sum over shared items of exp(-steps back / query_decay), divided by the square root of
        the neighbour's length. A neighbour's vote for each of its events is its similarity times exp(-steps between
        the event and the newest shared item / neighbour_decay). `num_recent` replaces the paper's factor for the
        neighbour's age. Votes are divided by the query's largest vote, and those below SMALLEST_VOTE are dropped.

        Args:
            prefixes: the queries.
            query_decay: lambda_1, in steps.
            neighbour_decay: lambda_3, in steps.

        Returns:
            A function that returns the scores [num_rows, num_items] of a slice of the queries.
        """
        norm = np.sqrt(self.sessions.lengths)
        # Events further away have votes below SMALLEST_VOTE: the shared item's own vote is at most the largest.
        reach = int(neighbour_decay * -np.log(SMALLEST_VOTE))

        def weigh(back: Ints, length: Ints) -> Doubles:
            return np.asarray(np.exp(-back / query_decay))

        def score(rows: slice) -> sparse.csr_array:
            num_rows = prefixes.num_rows(rows)
            found = self._find(prefixes, rows, weigh, norm)
            begin = np.maximum(found.position - reach, 0)
            end = np.minimum(found.position + reach + 1, self.sessions.lengths[found.session])
            pair, position = ranges(begin, end)
            items = self.sessions.items[self.sessions.offsets[found.session][pair] + position].astype(np.int64) - 1
            votes = found.similarity[pair] * np.exp(-np.abs(position - found.position[pair]) / neighbour_decay)
            query = found.query[pair]
            largest = np.zeros(num_rows)
            np.maximum.at(largest, query, votes)
            kept = (votes > 0) & (votes >= SMALLEST_VOTE * largest[query]) & (items >= 0)
            votes, query = votes[kept], query[kept]
            votes = (votes / largest[query]).astype(np.float32)
            return sparse.csr_array((votes, (query, items[kept])), shape=(num_rows, self.num_items))

        return score

    def _find(
        self, prefixes: Prefixes, rows: slice, weigh: Callable[[Ints, Ints], Doubles], norm: Doubles | None = None
    ) -> Neighbours:
        """Finds the neighbours of a slice of the queries.

        Args:
            prefixes: the queries.
            rows: the slice.
            weigh: returns item weights, given the steps back of the items and the lengths of their queries.
            norm: [num_sessions] divisor of the similarity; None for no division.
        """
        query, items, back = prefixes.tile(rows)
        weight = weigh(back, np.bincount(query)[query] if len(query) else query)
        # Keep only the newest occurrence of a repeated item; sort each query's items newest first.
        by_item = np.lexsort((back, items, query))
        once = by_item[_begins(query[by_item], items[by_item])]
        once = once[np.lexsort((back[once], query[once]))]
        query, items, back, weight = query[once], items[once], back[once], weight[once]
        num_pairs = np.cumsum(np.diff(self.last_position.indptr)[items])
        cuts = np.flatnonzero(np.diff(query, append=-1)) + 1  # end of each query's items
        piece = num_pairs[cuts - 1] // MAX_PAIRS
        ends = cuts[_begins(piece[::-1])[::-1]].tolist() or [0]
        pieces = [
            self._find_piece(query[begin:end], items[begin:end], back[begin:end], weight[begin:end], norm)
            for begin, end in zip([0, *ends], ends, strict=False)
        ]
        names = Neighbours.__dataclass_fields__
        return Neighbours(**{name: np.concatenate([getattr(each, name) for each in pieces]) for name in names})

    def _find_piece(self, query: Ints, items: Ints, back: Ints, weight: Doubles, norm: Doubles | None) -> Neighbours:
        """Finds the neighbours of complete queries, whose items are distinct and sorted newest first."""
        origin, entry = ranges(self._begin_recent(query, items), self.last_position.indptr[items + 1])
        session = self.last_position.indices[entry].astype(np.int64)
        pair = query[origin] * self.sessions.num_sessions + session
        order = np.argsort(pair, kind="stable")  # stable, so that each pair's newest shared item stays first
        is_first = _begins(pair[order])
        starts = np.flatnonzero(is_first)
        first = order[starts]
        similarity = np.bincount(np.cumsum(is_first) - 1, weight[origin[order]], minlength=len(starts)).astype(
            np.float64
        )
        found = Neighbours(
            query=query[origin[first]],
            session=session[first],
            similarity=similarity if norm is None else similarity / norm[session[first]],
            back=back[origin[first]],
            position=self.last_position.data[entry[first]],
        )
        num_found = np.bincount(found.query)
        num_newer = np.cumsum(num_found)[found.query] - np.arange(len(first)) - 1  # newer sessions of the same query
        recent = found.take(np.flatnonzero(num_newer < self.num_recent))
        return recent.take(_largest(recent.query, recent.similarity, self.num_neighbours))

    def _begin_recent(self, query: Ints, items: Ints) -> Ints:
        """Returns, per query item, the first entry of `last_position` that can be among the query's newest sessions.

        A query with many items shares items with far more sessions than `num_recent`. So the search looks back over
        the newest sessions and doubles their number until `num_recent` of them share an item with the query.
        """
        num_sessions = self.sessions.num_sessions
        begin, end = self.last_position.indptr[items].astype(np.int64), self.last_position.indptr[items + 1]
        num_pairs = np.bincount(query, end - begin)
        is_open = num_pairs > 2 * self.num_recent
        look_back = (num_sessions * self.num_recent / np.maximum(num_pairs, 1)).astype(np.int64) + 1
        while is_open.any():
            look_back = np.where(is_open, np.minimum(2 * look_back, num_sessions), look_back)
            rows = np.flatnonzero(is_open[query])
            oldest = num_sessions - look_back[query[rows]]
            begin[rows] = np.searchsorted(self.keys, items[rows] * num_sessions + oldest)
            origin, entry = ranges(begin[rows], end[rows])
            pairs = np.sort(query[rows][origin] * num_sessions + self.last_position.indices[entry])
            num_found = np.bincount(pairs[_begins(pairs)] // num_sessions, minlength=len(is_open))
            is_open &= (num_found < self.num_recent) & (look_back < num_sessions)
        return begin


def _last_positions(sessions: Sessions, num_items: int, num_recent: int) -> sparse.csr_array:
    """Returns the last position of each item in each session, from 0, [num_items, num_sessions].

    Only the `num_recent` newest sessions per item are kept. This loses nothing: a session among the `num_recent` newest
    that share any item with a query is also among the `num_recent` newest for each item it shares.
    """
    session = np.repeat(np.arange(sessions.num_sessions), sessions.lengths)
    position = np.arange(len(session)) - np.repeat(sessions.offsets[:-1], sessions.lengths)
    order = np.lexsort((position, session, sessions.items))
    item, session, position = sessions.items[order], session[order], position[order]
    is_last = _begins(item[::-1], session[::-1])[::-1] & (item != UNKNOWN)
    item, session, position = item[is_last].astype(np.int64) - 1, session[is_last], position[is_last]
    ends = np.cumsum(np.bincount(item, minlength=num_items))
    is_recent = np.arange(len(item)) >= ends[item] - num_recent
    item, session, position = item[is_recent], session[is_recent], position[is_recent]
    indptr = np.append(0, np.cumsum(np.bincount(item, minlength=num_items)))
    return sparse.csr_array((position, session, indptr), shape=(num_items, sessions.num_sessions))


def _begins(*keys: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Returns whether each row differs from the previous row in any key, [num_rows]; True for the first row."""
    differs = np.ones(len(keys[0]), np.bool_)
    differs[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return differs


def _largest(group: Ints, value: npt.NDArray[np.number], limit: int) -> Ints:
    """Returns the rows of the `limit` largest values per group, ascending; ties are broken by the later row."""
    order = np.lexsort((value, group))[::-1]  # lexsort is stable, so reversing puts later rows first among ties
    starts = np.flatnonzero(_begins(group[order]))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return np.sort(order[rank < limit])
