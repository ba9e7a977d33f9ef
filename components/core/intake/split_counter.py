"""Accumulates the statistics of a split while it is written."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.core.intake.ordering import SortedEvents

MERGE_AFTER = 16
EMPTY_COUNTS = pa.table({"item_id": pa.array([], pa.string()), "count": pa.array([], pa.int64())})


class SplitCounter:
    """Accumulates the statistics of one split from batches of whole sessions.

    Args:
        keeps_starts: whether to keep the start of each session in memory, for `count_starts_before`.
    """

    def __init__(self, *, keeps_starts: bool = False) -> None:
        self.keeps_starts = keeps_starts
        self.newest_start = 0
        self.num_events = 0
        self.first_time: int | None = None
        self.last_time: int | None = None
        self.num_duplicates = 0
        self.num_backward_sessions = 0
        self.num_tied_sessions = 0
        self.sessions_of_length: npt.NDArray[np.int64] = np.zeros(1, np.int64)
        self._item_ids: pa.StringArray = EMPTY_COUNTS["item_id"].combine_chunks()
        self._num_events_of: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._item_counts: list[pa.Table] = []
        self._starts: list[npt.NDArray[np.int64]] = []

    def add(self, events: SortedEvents) -> None:
        """Adds a batch."""
        self.num_events += len(events.times)
        begin, end = int(events.times.min()), int(events.times.max())
        self.first_time = begin if self.first_time is None else min(begin, self.first_time)
        self.last_time = end if self.last_time is None else max(end, self.last_time)
        session_lengths = np.bincount(events.sessions)
        self._add_starts(events.times[np.cumsum(session_lengths) - session_lengths])
        lengths = np.bincount(session_lengths)
        if len(lengths) > len(self.sessions_of_length):
            self.sessions_of_length.resize(len(lengths), refcheck=False)
        self.sessions_of_length[: len(lengths)] += lengths
        self._count_items(events)
        same = events.sessions[1:] == events.sessions[:-1]
        backward = same & (events.rows[1:] < events.rows[:-1])
        self.num_backward_sessions += len(np.unique(events.sessions[1:][backward]))
        tied = same & (events.times[1:] == events.times[:-1])
        if tied.any():
            self.num_tied_sessions += int(np.count_nonzero(np.diff(events.sessions[1:][tied], prepend=-1)))
            rows = np.flatnonzero(np.append(tied, False) | np.append(False, tied))
            keys = pa.table(
                [events.sessions[rows], events.times[rows], events.items[rows]],
                names=["session", "time", "item"],
            )
            self.num_duplicates += len(rows) - keys.group_by(keys.column_names).aggregate([]).num_rows

    def _add_starts(self, starts: npt.NDArray[np.int64]) -> None:
        self.newest_start = max(self.newest_start, int(starts[-1]))
        if self.keeps_starts:
            self._starts.append(starts)

    def count_starts_before(self, time: int) -> tuple[int, int]:
        """Number of sessions that start before a time in milliseconds, and number of sessions; 0 without starts."""
        return sum(int(np.searchsorted(starts, time)) for starts in self._starts), sum(map(len, self._starts))

    def _count_items(self, events: SortedEvents) -> None:
        counts = np.bincount(events.items, minlength=len(events.item_ids))
        if events.item_ids is self._item_ids:
            self._num_events_of += counts
            return
        self._store_counts()
        self._item_ids, self._num_events_of = events.item_ids, counts
        if len(self._item_counts) > MERGE_AFTER:
            self.item_counts()  # merges the tables

    def _store_counts(self) -> None:
        """Makes a table of the counts of the latest batches, which share their ids."""
        kept = np.flatnonzero(self._num_events_of)
        if len(kept):
            columns = [self._item_ids.take(pa.array(kept)), self._num_events_of[kept]]
            self._item_counts.append(pa.table(columns, names=EMPTY_COUNTS.column_names))
            self._num_events_of[:] = 0

    def item_counts(self) -> pa.Table:
        """Table with the columns `item_id` and `count`, the number of events of each item of the split."""
        self._store_counts()
        if len(self._item_counts) != 1:
            counts = pa.concat_tables([EMPTY_COUNTS, *self._item_counts])
            merged = counts.group_by("item_id").aggregate([("count", "sum")])
            self._item_counts = [merged.rename_columns(EMPTY_COUNTS.column_names)]
        return self._item_counts[0]
