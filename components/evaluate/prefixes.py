"""The session prefix before each target, stored as ranges of one flat array, for the baselines."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from components.core.sequences import Sessions
from components.core.vocabulary import UNKNOWN

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Prefixes:
    """The newest items before each target, one query per target, as ranges of a shared item array.

    Attributes:
        items: [num_known_events] item indices from 0 (vocabulary index minus 1), oldest first; unknown items are left
            out.
        begin: [num_queries] start of each query's range in `items`.
        end: [num_queries] exclusive end of each query's range; its newest item is at `end - 1`.
    """

    items: Ints
    begin: Ints
    end: Ints

    @classmethod
    def before(cls, sessions: Sessions, events: Ints, *, max_length: int) -> "Prefixes":
        """Makes the prefixes of the targets `events` (indices into `sessions.items`), cut to the newest `max_length`.

        Unknown items count towards `max_length`, as they do for the model.
        """
        start = sessions.offsets[np.searchsorted(sessions.offsets, events, side="right") - 1]
        known = sessions.items != UNKNOWN
        num_known_before = np.append(0, np.cumsum(known))
        return cls(
            items=sessions.items[known].astype(np.int64) - 1,
            begin=num_known_before[np.maximum(start, events - max_length)],
            end=num_known_before[events],
        )

    def tile(self, rows: slice) -> tuple[Ints, Ints, Ints]:
        """Returns query (from 0), item and steps back from the newest item, for each item in a slice of the queries."""
        query, place = ranges(self.begin[rows], self.end[rows])
        return query, self.items[place], self.end[rows][query] - 1 - place

    def num_rows(self, rows: slice) -> int:
        """Returns the number of queries in a slice."""
        return len(self.begin[rows])

    def newest(self, rows: slice, num_items: int) -> sparse.csr_array:
        """Returns [num_rows, num_items] with a 1 at each query's newest item."""
        query = np.flatnonzero(self.end[rows] > self.begin[rows])
        return self.count(query, self.items[self.end[rows][query] - 1], rows, num_items)

    def count(self, query: Ints, items: Ints, rows: slice, num_items: int) -> sparse.csr_array:
        """Counts the pairs of a query and an item, [num_rows, num_items], for a slice of the queries."""
        shape = (self.num_rows(rows), num_items)
        return sparse.csr_array((np.ones(len(query), np.float32), (query, items)), shape=shape)


def ranges(begin: npt.NDArray[np.integer], end: npt.NDArray[np.integer]) -> tuple[Ints, Ints]:
    """Concatenates the integer ranges [begin, end); returns the range index of each integer, and the integers."""
    length = end - begin
    origin = np.repeat(np.arange(len(length)), length)
    return origin, np.arange(len(origin)) + np.repeat(begin - (np.cumsum(length) - length), length)
