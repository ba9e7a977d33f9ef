"""What stands before each target, flat, for recommenders that count."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from components.core.sequences import Sessions
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

    def num_rows(self, rows: slice) -> int:
        """How many queries a slice has."""
        return len(range(*rows.indices(len(self.offsets) - 1)))

    def newest(self, rows: slice, num_items: int) -> sparse.csr_array:
        """[num_rows, num_items] with a 1 at each query's newest item."""
        query, items, back = self.tile(rows)
        is_newest = back == 0
        return self.count(query[is_newest], items[is_newest], rows, num_items)

    def count(self, query: Ints, items: Ints, rows: slice, num_items: int) -> sparse.csr_array:
        """[num_rows, num_items] how often each item is given for each query of a slice."""
        shape = (self.num_rows(rows), num_items)
        return sparse.csr_array((np.ones(len(query), np.float32), (query, items)), shape=shape)
