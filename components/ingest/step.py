"""Converts the session logs of three splits to the events artifact."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pyarrow import fs

from components.core.events import SPLITS
from components.core.intake.acceptance import Acceptance, check_bots
from components.core.intake.data_report import DataReport
from components.core.intake.draft import EventsDraft
from components.core.intake.ordering import Sample, SortedEvents
from components.core.logs.columns import LogColumns, LogForm
from components.core.logs.files import LogFile, find_files
from components.core.logs.reader import read_log
from components.core.machine import limit_arrow_threads
from components.core.progress import Progress
from components.ingest.bots import LongSessions
from components.ingest.sorter import EventSorter, encode_ids

SAMPLE_UNITS = ("sessions", "events")


@dataclass(frozen=True, kw_only=True)
class IngestParameters:
    """Parameters of the `ingest` step; component.py describes each of them.

    Attributes:
        form: form of the files.
        acceptance: conditions under which the logs are accepted.

    Raises:
        ValueError: a value is out of bounds.
    """

    session_column: str = "SessionId"
    item_column: str = "ItemId"
    time_column: str = "Time"
    time_offset_column: str = ""
    form: LogForm = field(default_factory=LogForm)
    sample_fraction: float = 1.0
    sample_unit: str = "sessions"
    random_seed: int = 42
    max_session_events: int = 2000
    bot_action: str = "cut"
    acceptance: Acceptance = field(default_factory=Acceptance)

    def __post_init__(self) -> None:
        if not 0 < self.sample_fraction <= 1:
            raise ValueError(f"Expected sample_fraction to be above 0 and at most 1. Received: {self.sample_fraction}")
        if self.sample_unit not in SAMPLE_UNITS:
            raise ValueError(
                f"Expected sample_unit to be one of {', '.join(SAMPLE_UNITS)}. Received: {self.sample_unit!r}"
            )
        check_bots({"max_session_events": self.max_session_events}, self.bot_action)
        _ = self.columns  # checks the columns

    @property
    def columns(self) -> LogColumns:
        """The three columns in the order of the events schema."""
        return LogColumns(
            text=(self.session_column, self.item_column),
            time=self.time_column,
            time_offset=self.time_offset_column,
            form=self.form,
        )

    @property
    def sample(self) -> Sample | None:
        """The sample to keep; None for all events."""
        if self.sample_fraction == 1.0:
            return None
        return Sample(fraction=self.sample_fraction, unit=self.sample_unit, seed=self.random_seed)


def ingest(sources: Mapping[str, str | Path], events_dir: Path, parameters: IngestParameters) -> DataReport:
    """Reads the log of each split, checks every line, and writes the sampled and sorted events.

    Args:
        sources: the log of each of SPLITS: a file, glob or folder, local or in a bucket.
        events_dir: folder of the artifact; an existing artifact is overwritten when the new one is complete.
        parameters: parameters of the step.

    Returns:
        The data report of the artifact.

    Raises:
        FileNotFoundError: a source does not exist.
        OSError: the disk is full.
        ValueError: a source is empty, lacks a column, is truncated, or violates the conditions of acceptance; or a file
            is given for two splits.
    """
    limit_arrow_threads()
    files = {split: find_files(str(sources[split])) for split in SPLITS}
    if "sessions_in_two_splits" not in parameters.acceptance.allowed_findings:
        _check_different(files)
    logs = {split: read_log(files[split], parameters.columns, encode_ids) for split in SPLITS}
    progress = Progress(sum(file.num_bytes for each in files.values() for file in each))
    with EventsDraft(events_dir, parameters.acceptance) as draft:
        for split in reversed(SPLITS):
            sorter = EventSorter(draft.spill_dir(split), parameters.sample)
            for batch in logs[split]:
                draft.count(batch)
                progress.advance(batch.num_bytes, f"{draft.num_lines:,} lines of {progress.describe_bytes()}")
                sorter.add(batch.events)
            draft.check_lines(f"the log of {split}")
            draft.write_split(split, _without_bots(sorter, draft, parameters))
        return draft.publish()


def _without_bots(sorter: EventSorter, draft: EventsDraft, parameters: IngestParameters) -> Iterator[SortedEvents]:
    """Yields the sorted events, and counts those that are dropped."""
    long_sessions = LongSessions(parameters.max_session_events, parameters.bot_action)
    yield from long_sessions.cut(sorter.sorted_batches())
    draft.drop("sampled out", sorter.num_rows - long_sessions.num_read)
    draft.drop("long sessions", long_sessions.num_dropped)
    draft.findings["long_sessions"] += long_sessions.num_sessions


def _check_different(files: Mapping[str, list[LogFile]]) -> None:
    seen: dict[str, str] = {}
    for split in SPLITS:
        for path in {_identify(file) for file in files[split]}:
            if path in seen:
                raise ValueError(
                    f"Expected different files for each split. Received: {path} for {seen[path]} and {split}. "
                    "If this is intended, set allowed_findings=splits_out_of_order,sessions_in_two_splits"
                )
            seen[path] = split


def _identify(file: LogFile) -> str:
    is_local = isinstance(file.filesystem, fs.LocalFileSystem)
    return str(Path(file.path).resolve()) if is_local else file.name
