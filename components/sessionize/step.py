"""Converts a raw event log to the events artifact, with the preprocessing of GRU4Rec."""

from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.core.events import SPLITS
from components.core.intake.acceptance import Acceptance, check_bots
from components.core.intake.data_report import DataReport
from components.core.intake.draft import EventsDraft
from components.core.logs.columns import LogColumns, LogForm
from components.core.logs.event_types import (
    DEFAULT_EVENT_COLUMN,
    DEFAULT_EVENT_TYPES,
    check_event_types,
    list_optional,
)
from components.core.logs.files import find_files
from components.core.logs.reader import read_log
from components.core.machine import limit_arrow_threads
from components.core.presentation import show_time
from components.core.progress import Progress
from components.sessionize.bots import BotBounds
from components.sessionize.engines import ENGINES, start
from components.sessionize.preparation import Preparation
from components.sessionize.sessions import DAY_MS
from components.sessionize.slices import in_order
from components.sessionize.staged_log import StagedLog

MAX_MIN_SESSION_LENGTH = 100  # limited because each event is compared with that many neighbours
MAX_DAYS = 100_000
MAX_MINUTES = MAX_DAYS * 24 * 60
TIE_ORDERS = ("item", "file")


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
    session_column: str = ""
    item_column: str = "itemid"
    event_column: str = DEFAULT_EVENT_COLUMN
    time_column: str = "timestamp"
    time_offset_column: str = ""
    form: LogForm = field(default_factory=LogForm)
    event_types: tuple[str, ...] = DEFAULT_EVENT_TYPES
    drop_repeats: bool = True
    tie_order: str = "item"
    max_gap_minutes: float = 60.0
    min_session_length: int = 2
    min_item_support: int = 5
    max_visitor_events: int = 50000
    max_session_events: int = 2000
    bot_action: str = "cut"
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
        check_event_types(self.event_column, self.event_types)
        if self.sessionize_engine not in ENGINES:
            raise ValueError(
                f"Expected sessionize_engine to be one of {', '.join(ENGINES)}. Received: {self.sessionize_engine!r}"
            )
        if self.tie_order not in TIE_ORDERS:
            raise ValueError(f"Expected tie_order to be one of {', '.join(TIE_ORDERS)}. Received: {self.tie_order!r}")
        maxima = {"max_visitor_events": self.max_visitor_events, "max_session_events": self.max_session_events}
        check_bots(maxima, self.bot_action)
        _ = self.columns, self.end_ms  # check the values

    @property
    def columns(self) -> LogColumns:
        """The columns of the log: session or visitor, item, event type if there is one, and time."""
        return LogColumns(
            text=(
                self.session_column or self.visitor_column,
                self.item_column,
                *([self.event_column] if self.event_column else []),
            ),
            time=self.time_column,
            time_offset=self.time_offset_column,
            optional=list_optional(self.event_column, self.event_types),
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
    progress = Progress(sum(file.num_bytes for file in files))
    with EventsDraft(events_dir, parameters.acceptance) as draft:
        work_dir = draft.spill_dir("log")
        staged = StagedLog(work_dir, parameters.event_types, has_file_order=parameters.tie_order == "file")
        for batch in read_log(files, parameters.columns, staged.prepare):
            draft.count(batch)
            progress.advance(batch.num_bytes, f"{draft.num_lines:,} lines of {progress.describe_bytes()}")
            staged.add(batch.events)
        draft.check_lines()
        draft.findings["missing_event_types"] += staged.count_missing_types()
        draft.findings["backward_times"] += staged.num_backward
        for label, num_events in staged.other_types.items():
            draft.drop(label, num_events)
        preparation = _make_preparation(parameters, staged.newest)
        draft.notes += _describe(preparation, staged)
        if progress.is_due():
            progress.write("cutting sessions")
        engine = start(parameters.sessionize_engine, work_dir, memory_gib=parameters.sessionize_memory_gib)
        try:
            num_counting = staged.num_events - sum(staged.other_types.values())
            splits, num_left = preparation.run(engine, staged.close(), draft, num_counting=num_counting)
            for split in reversed(SPLITS):
                views = getattr(splits, split)
                # Closed before the engine, because the prefetch of a slice may still be running.
                with closing(in_order(views, engine, has_session_ids=bool(parameters.session_column))) as batches:
                    draft.write_split(split, batches, has_own_sessions=True)
        finally:
            engine.close()
        draft.drop("cut at a split boundary", num_left - sum(each.num_events for each in draft.counters.values()))
        for split in reversed(SPLITS):
            draft.check_split(split)
        return draft.publish()


def _make_preparation(parameters: SessionizeParameters, newest: int) -> Preparation:
    has_session_ids = bool(parameters.session_column)
    return Preparation(
        max_gap_ms=None if has_session_ids else round(parameters.max_gap_minutes * 60_000),
        has_file_order=parameters.tie_order == "file",
        drop_repeats=parameters.drop_repeats,
        bots=BotBounds(
            max_visitor_events=0 if has_session_ids else parameters.max_visitor_events,
            max_session_events=parameters.max_session_events,
            action=parameters.bot_action,
        ),
        min_session_length=parameters.min_session_length,
        min_item_support=parameters.min_item_support,
        end_ms=newest if parameters.end_ms is None else parameters.end_ms,
        window_days=parameters.window_days,
        test_days=parameters.test_days,
        valid_days=parameters.valid_days,
    )


def _describe(preparation: Preparation, staged: StagedLog) -> list[str]:
    """Describes the event types, the window and the splits, for the error about an empty split."""
    end, test = preparation.end_ms, preparation.end_ms - preparation.test_days * DAY_MS
    begin = f"from {show_time(end - preparation.window_days * DAY_MS)} " if preparation.window_days else ""
    texts = [
        f"The window is {begin}to {show_time(end)}; train ends and valid begins at "
        f"{show_time(test - preparation.valid_days * DAY_MS)}, test begins at {show_time(test)}"
    ]
    types = staged.describe()
    return [f"Event types: {types}; those that count: {', '.join(staged.event_types)}", *texts] if types else texts
