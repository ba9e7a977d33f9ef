"""A raw event log -> the events artifact, by the GRU4Rec preparation."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import reduce
from pathlib import Path

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.core.events import SPLITS
from components.core.logs.ahead import map_ahead
from components.core.logs.data_report import DataReport
from components.core.logs.draft import Acceptance, EventsDraft
from components.core.logs.files import find_files
from components.core.logs.lines import TIME_LIMIT
from components.core.logs.ordering import SortedEvents, sort_sessions
from components.core.logs.reader import LogColumns, read_log
from components.sessionize.engines import ENGINES, start
from components.sessionize.sessions import (
    SESSION,
    count_starts,
    cut_sessions,
    drop_all,
    drop_short,
    find_unsupported,
    order_events,
    split_sessions,
)
from components.sessionize.staged_log import StagedLog

HOUR_MS = 60 * 60 * 1000
SLICE_EVENTS = 1 << 18  # that are put in order at a time


@dataclass(frozen=True, kw_only=True)
class SessionizeParameters:
    """Parameters of the `sessionize` step; the defaults are those of GRU4Rec for RetailRocket.

    Attributes:
        visitor_column: header of the visitor id.
        item_column: header of the item id.
        event_column: header of the type of event.
        time_column: header of the time, in milliseconds since 1970.
        delimiter: of the fields; empty means a comma for `.csv` and a tab for every other suffix.
        max_id_bytes: lines with longer ids are rejected.
        event_types: the types of event that count.
        max_gap_minutes: a session ends where more time passes before the visitor's next event.
        min_session_length: sessions with fewer events are dropped.
        min_item_support: items with fewer events are dropped.
        as_of: end of the window, an ISO 8601 date (its first moment) or time, UTC if it names no offset; empty for
            the newest event.
        window_days: length of the window; 0 for all that is there.
        test_days: sessions that start in these last days are the test split.
        valid_days: the same before them is the validation split.
        engine: `duckdb`, in this process with what does not fit on disk, or `spark`.
        memory_gib: that DuckDB may use.
        acceptance: what may be wrong with the log.
    """

    visitor_column: str = "visitorid"
    item_column: str = "itemid"
    event_column: str = "event"
    time_column: str = "timestamp"
    delimiter: str = ""
    max_id_bytes: int = 256
    event_types: tuple[str, ...] = ("view",)
    max_gap_minutes: float = 60.0
    min_session_length: int = 2
    min_item_support: int = 5
    as_of: str = ""
    window_days: int = 0
    test_days: int = 7
    valid_days: int = 7
    engine: str = "duckdb"
    memory_gib: float = 2.0
    acceptance: Acceptance = field(default_factory=Acceptance)

    def __post_init__(self) -> None:
        lowest = {
            "max_gap_minutes": 0,
            "min_session_length": 1,
            "min_item_support": 1,
            "window_days": 0,
            "test_days": 1,
            "valid_days": 1,
            "memory_gib": 0.1,
        }
        for name, minimum in lowest.items():
            if not getattr(self, name) >= minimum:
                raise ValueError(f"Expected {name} to be at least {minimum}. Received: {getattr(self, name)}")
        if not self.event_types:
            raise ValueError("Expected at least one of event_types. Received: none")
        if self.engine not in ENGINES:
            raise ValueError(f"Expected engine to be one of {', '.join(ENGINES)}. Received: {self.engine!r}")
        _ = self.columns, self.end_ms  # which check them

    @property
    def columns(self) -> LogColumns:
        """The columns of the log."""
        return LogColumns(
            text=(self.visitor_column, self.item_column, self.event_column),
            time=self.time_column,
            delimiter=self.delimiter,
            max_id_bytes=self.max_id_bytes,
        )

    @property
    def end_ms(self) -> int | None:
        """End of the window in milliseconds since 1970; None for the newest event."""
        if not self.as_of:
            return None
        try:
            end = datetime.fromisoformat(self.as_of.replace("Z", "+00:00"))
        except ValueError as error:
            raise ValueError(f"Expected as_of to be an ISO 8601 date or time. Received: {self.as_of!r}") from error
        end = end if end.tzinfo else end.replace(tzinfo=timezone.utc)
        return (end - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)


def sessionize(source: str, events_dir: Path, parameters: SessionizeParameters) -> DataReport:
    """Reads a log, checks every line, cuts sessions, filters and splits them.

    Args:
        source: a file, glob or folder, here or in a bucket.
        events_dir: where the artifact is to lie; what lies there is replaced when the new one is whole.
        parameters: columns, sessions, window, and what may be wrong.

    Returns:
        What the artifact holds.

    Raises:
        FileNotFoundError: the source is not there.
        OSError: the disk is full.
        ValueError: a file is empty, lacks a column, ends before it should, has too much wrong with it, or a split
            has no events.
    """
    files = find_files(source)
    with EventsDraft(events_dir, parameters.acceptance) as draft:
        spill_dir = draft.spill_dir("log")
        staged = StagedLog(spill_dir, parameters.event_types)
        for batch in read_log(files, parameters.columns, staged.prepare):
            draft.count(batch)
            staged.add(batch.events)
        draft.check_lines()
        draft.findings["backward_times"] += staged.num_backward
        end_ms = staged.newest if parameters.end_ms is None else parameters.end_ms
        engine = start(parameters.engine, spill_dir, memory_gib=parameters.memory_gib)
        try:
            parts = []
            for events in staged.read(engine, end_ms=end_ms, window_days=parameters.window_days):
                cut = cut_sessions(events, max_gap_ms=round(parameters.max_gap_minutes * 60_000))
                cut = engine.keep(cut.filter(~cut.is_repeat | cut.is_duplicate))
                draft.findings["duplicates"] += cut.is_duplicate.sum().to_pyarrow().as_py() or 0
                views = cut.filter(~cut.is_repeat).drop("is_repeat", "is_duplicate")
                parts.append(engine.keep(drop_short(views, parameters.min_session_length)))
                engine.drop(cut)
            unsupported = find_unsupported(
                reduce(ir.Table.union, parts),
                engine.keep,
                min_session_length=parameters.min_session_length,
                min_item_support=parameters.min_item_support,
            )
            for number, part in enumerate(parts):
                parts[number] = engine.keep(drop_all(part, *unsupported))
                engine.drop(part)
            splits = split_sessions(
                reduce(ir.Table.union, parts),
                engine.keep,
                end_ms=end_ms,
                test_days=parameters.test_days,
                valid_days=parameters.valid_days,
                min_session_length=parameters.min_session_length,
            )
            tables = {split: engine.keep(getattr(splits, split)) for split in reversed(SPLITS)}
            for part in parts:
                engine.drop(part)
            for split, views in tables.items():
                with closing(_in_order(views)) as batches:  # so that no slice is computed when the engine closes
                    draft.write_split(split, batches)
        finally:
            engine.close()
        return draft.publish()


def _in_order(views: ir.Table) -> Generator[SortedEvents, None, None]:
    """The events of a split in the order of the artifact, the sessions that start in some hours at a time.

    A session may have lost its first events, so that another one that starts later comes before it: then it waits.
    """
    waiting: list[pa.Table] = []
    for end_ms, found in _read_slices(views):
        events = pa.concat_tables([*waiting, found]).combine_chunks()
        visitor, start, item, time = (events[name].combine_chunks() for name in (*SESSION, "item", "time"))
        is_first = np.ones(len(events), np.bool_)
        is_first[1:] = pc.or_(pc.not_equal(visitor[1:], visitor[:-1]), pc.not_equal(start[1:], start[:-1]))
        first = pa.array(np.flatnonzero(is_first))
        names = pc.binary_join_element_wise(visitor.take(first).cast("string"), start.take(first).cast("string"), "-")
        times = time.to_numpy()
        in_order, order, sessions = sort_sessions(np.cumsum(is_first, dtype=np.int32) - 1, times, names)
        is_ready = times[order[np.flatnonzero(np.diff(sessions, prepend=-1))]] < end_ms
        num_ready = int(np.searchsorted(sessions, is_ready.sum()))
        waiting = [events.take(pa.array(order[num_ready:]))]
        if num_ready:
            item = item.dictionary_encode()
            yield SortedEvents(
                sessions=sessions[:num_ready],
                session_ids=names.take(pa.array(in_order[: is_ready.sum()])),
                items=item.indices.to_numpy()[order[:num_ready]],
                item_ids=item.dictionary.cast("string"),
                times=times[order[:num_ready]],
                rows=order[:num_ready],
            )


def _read_slices(views: ir.Table) -> Iterator[tuple[int, pa.Table]]:
    """The end of each slice and its events in order; the next one is computed while one is used."""

    def read(bounds: tuple[int, int]) -> tuple[int, pa.Table]:
        begin_ms, end_ms = bounds
        return end_ms, order_events(views, begin_ms=begin_ms, end_ms=end_ms).to_pyarrow()

    return map_ahead(read, _slices(views), num_threads=1, num_ahead=1)


def _slices(views: ir.Table) -> Iterator[tuple[int, int]]:
    """Times between which sessions with about SLICE_EVENTS start; the last one has no end."""
    counts = count_starts(views, width_ms=HOUR_MS).to_pyarrow()
    if not len(counts):
        return
    spans, total = counts["span"].to_numpy(), np.cumsum(counts["count"].to_numpy())
    is_new = np.diff((total - 1) // SLICE_EVENTS, prepend=-1) > 0
    begins = spans[is_new] * HOUR_MS
    yield from zip(begins.tolist(), [*begins[1:].tolist(), TIME_LIMIT], strict=True)
