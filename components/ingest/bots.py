"""Cuts or drops sessions with so many events that they are those of bots."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from components.core.intake.ordering import SortedEvents


class LongSessions:
    """Cuts or drops the long sessions of a split, and counts them.

    Args:
        max_events: maximum number of events of a session; 0 for no maximum.
        action: `cut` to keep the first `max_events` events, `drop` to drop the session.

    Attributes:
        num_read: number of events read.
        num_sessions: number of long sessions.
        num_dropped: number of events dropped.
    """

    def __init__(self, max_events: int, action: str) -> None:
        self.max_events = max_events
        self.action = action
        self.num_read = 0
        self.num_sessions = 0
        self.num_dropped = 0

    def cut(self, batches: Iterable[SortedEvents]) -> Iterator[SortedEvents]:
        """Yields batches without the events of bots; a batch of which no event is left is skipped."""
        for events in batches:
            self.num_read += len(events.times)
            lengths = np.bincount(events.sessions)
            is_long = lengths > self.max_events
            if not self.max_events or not is_long.any():
                yield events
                continue
            kept_lengths = np.where(is_long, self.max_events if self.action == "cut" else 0, lengths)
            place = np.arange(len(events.times)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            rows = np.flatnonzero(place < kept_lengths[events.sessions])
            self.num_sessions += int(is_long.sum())
            self.num_dropped += len(events.times) - len(rows)
            if not len(rows):
                continue
            used = np.flatnonzero(kept_lengths)
            yield replace(
                events,
                sessions=np.repeat(np.arange(len(used), dtype=np.int32), kept_lengths[used]),
                session_ids=events.session_ids.take(pa.array(used)),
                items=events.items[rows],
                times=events.times[rows],
                rows=events.rows[rows],
            )
