"""Converts a raw event log to the events artifact, with the preprocessing of GRU4Rec."""

from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import ibis.expr.types as ir

from components.core.events import SPLITS
from components.core.logs.columns import LogColumns, LogForm
from components.core.logs.data_report import DataReport
from components.core.logs.draft import Acceptance, EventsDraft
from components.core.logs.files import find_files
from components.core.logs.reader import read_log
from components.core.machine import limit_arrow_threads
from components.sessionize.engines import ENGINES, Engine, start
from components.sessionize.sessions import (
    Splits,
    cut_sessions,
    find_duplicates,
    find_unsupported,
    split_sessions,
    within,
)
from components.sessionize.slices import in_order
from components.sessionize.staged_log import StagedLog

MAX_MIN_SESSION_LENGTH = 100  # limited because each event is compared with that many neighbours
MAX_DAYS = 100_000
MAX_MINUTES = MAX_DAYS * 24 * 60


@dataclass(frozen=True, kw_only=True)
class SessionizeParameters:
    """Parameters of the `sessionize` step; component.py describes each of them.

    The defaults are those of GRU4Rec for RetailRocket.

    Attributes:
        form: form of the files.
        acceptance: conditions under which the log is accepted.

    Raises:
        ValueError: a value is out of bounds.
    """

    visitor_column: str = "visitorid"
    item_column: str = "itemid"
    event_column: str = "event"
    time_column: str = "timestamp"
    time_offset_column: str = ""
    form: LogForm = field(default_factory=LogForm)
    event_types: tuple[str, ...] = ("view",)
    max_gap_minutes: float = 60.0
    min_session_length: int = 2
    min_item_support: int = 5
    as_of: str = ""
    window_days: int = 0
    test_days: int = 7
    valid_days: int = 7
    sessionize_engine: str = "duckdb"
    sessionize_memory_gib: float = 2.0
    acceptance: Acceptance = field(default_factory=Acceptance)

    def __post_init__(self) -> None:
        bounds = {
            "max_gap_minutes": (0, MAX_MINUTES),
            "min_session_length": (1, MAX_MIN_SESSION_LENGTH),
            "min_item_support": (1, 2**31),
            "window_days": (0, MAX_DAYS),
            "test_days": (1, MAX_DAYS),
            "valid_days": (1, MAX_DAYS),
            "sessionize_memory_gib": (0.1, 2**20),
        }
        for name, (lowest, highest) in bounds.items():
            if not lowest <= getattr(self, name) <= highest:
                raise ValueError(
                    f"Expected {name} to be between {lowest} and {highest}. Received: {getattr(self, name)}"
                )
        if not self.event_types:
            raise ValueError("Expected at least one event type in event_types. Received: none")
        if self.sessionize_engine not in ENGINES:
            raise ValueError(
                f"Expected sessionize_engine to be one of {', '.join(ENGINES)}. Received: {self.sessionize_engine!r}"
            )
        _ = self.columns, self.end_ms  # check the values

    @property
    def columns(self) -> LogColumns:
        """The columns of the log."""
        return LogColumns(
            text=(self.visitor_column, self.item_column, self.event_column),
            time=self.time_column,
            time_offset=self.time_offset_column,
            form=self.form,
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
        end = end if end.tzinfo else end.replace(tzinfo=UTC)
        return (end - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def sessionize(source: str, events_dir: Path, parameters: SessionizeParameters) -> DataReport:
    """Reads a log, checks every line, cuts the events into sessions, and filters and splits the sessions.

    Args:
        source: a file, glob or folder, local or in a bucket.
        events_dir: folder of the artifact; an existing artifact is overwritten when the new one is complete.
        parameters: parameters of the step.

    Returns:
        The data report of the artifact.

    Raises:
        FileNotFoundError: the source does not exist.
        OSError: the disk is full.
        ValueError: a file is empty, lacks a column or is truncated, the log violates the conditions of acceptance, or a
            split has no events.
    """
    limit_arrow_threads()
    files = find_files(source)
    with EventsDraft(events_dir, parameters.acceptance) as draft:
        work_dir = draft.spill_dir("log")
        staged = StagedLog(work_dir, parameters.event_types)
        for batch in read_log(files, parameters.columns, staged.prepare):
            draft.count(batch)
            staged.add(batch.events)
        draft.check_lines()
        draft.findings["backward_times"] += staged.num_backward
        engine = start(parameters.sessionize_engine, work_dir, memory_gib=parameters.sessionize_memory_gib)
        try:
            splits, duplicates = _make_splits(engine, staged, parameters)
            draft.findings["duplicates"] += duplicates.count().to_pyarrow().as_py()
            for split in reversed(SPLITS):
                # Closed before the engine, because the prefetch of a slice may still be running.
                with closing(in_order(getattr(splits, split), engine)) as batches:
                    draft.write_split(split, batches, has_own_sessions=True)
        finally:
            engine.close()
        return draft.publish()


def _make_splits(engine: Engine, staged: StagedLog, parameters: SessionizeParameters) -> tuple[Splits, ir.Table]:
    """Returns the splits and the duplicate events."""
    end_ms = staged.newest if parameters.end_ms is None else parameters.end_ms
    in_window = partial(within, end_ms=end_ms, window_days=parameters.window_days)
    views, duplicates = engine.keep_parts(
        staged.close(),
        lambda events: cut_sessions(
            in_window(events),
            max_gap_ms=round(parameters.max_gap_minutes * 60_000),
            min_session_length=parameters.min_session_length,
            is_in_order=engine.reads_in_order,
        ),
        lambda events: find_duplicates(in_window(events), is_in_order=engine.reads_in_order),
    )
    items, sessions = find_unsupported(
        views,
        engine.keep,
        min_session_length=parameters.min_session_length,
        min_item_support=parameters.min_item_support,
    )
    splits = split_sessions(
        views,
        items,
        sessions,
        engine.keep,
        end_ms=end_ms,
        test_days=parameters.test_days,
        valid_days=parameters.valid_days,
        min_session_length=parameters.min_session_length,
    )
    return splits, duplicates
