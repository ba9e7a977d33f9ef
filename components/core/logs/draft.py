"""Writes the events artifact to a draft folder and moves it to its final folder when it is complete and accepted."""

import errno
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.events import SPLITS, split_path
from components.core.logs.data_report import (
    SECONDS_BELOW,
    DataReport,
    SplitCounter,
    find_shared,
    report_split,
)
from components.core.logs.drift import ITEM_COUNTS_NAME, REPORT_NAME, DriftBounds, compare
from components.core.logs.ordering import SortedEvents
from components.core.logs.reader import Batch
from components.core.logs.rejected import REJECTED_NAME, RejectedLines

FINDINGS = ("duplicates", "backward_times", "sessions_in_two_splits", "seconds", "cut_files")
UNUSABLE = "?\\"  # in the path of a DuckDB database, ? starts the options and a backslash is read as a slash
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ID_COLUMNS = ["session_id", "item_id"]


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Conditions under which the step accepts a log.

    Attributes:
        max_rejected_share: maximum share of rejected lines. Reading stops as soon as the share would exceed it even
            if all remaining lines were accepted.
        data_errors: findings that fail the step: duplicates (rows with equal values in all columns that are read),
            backward_times (given sessions: sessions in which a later row has an earlier time; raw log: rows with an
            earlier time than the previous row), sessions_in_two_splits, seconds (times before 1973-03-03, which are
            probably in seconds) and cut_files (files whose last line has no newline, so it may be incomplete).
        previous_events: events artifact of an earlier run; empty for none.
        drift_bounds: texts NAME=WARN:FAIL, see `DriftBounds.parse`.

    Raises:
        ValueError: a value is out of bounds, or a finding or a drift measure is unknown.
    """

    max_rejected_share: float = 0.01
    data_errors: tuple[str, ...] = ()
    previous_events: str = ""
    drift_bounds: tuple[str, ...] = (
        "volume=0.5:2.0",
        "session_length=0.25:1.0",
        "lost_items=0.3:0.8",
        "popularity=0.3:0.8",
    )

    @property
    def drift(self) -> DriftBounds:
        """Bounds of the change since the previous run."""
        return DriftBounds.parse(self.drift_bounds)

    def __post_init__(self) -> None:
        if not 0 <= self.max_rejected_share <= 1:
            raise ValueError(f"Expected max_rejected_share to be between 0 and 1. Received: {self.max_rejected_share}")
        unknown = sorted(set(self.data_errors) - set(FINDINGS))
        if unknown:
            raise ValueError(f"Expected data_errors to be among {', '.join(FINDINGS)}. Received: {', '.join(unknown)}")
        _ = self.drift  # checks the bounds


class EventsDraft:
    """An events artifact that is not yet complete. It is a context manager, which removes the draft folder on exit.

    If the `with` block raises a ValueError and lines were rejected, the file of rejected lines is moved to the
    artifact's folder, and the error message contains its path. All other files in that folder are left unchanged.

    Args:
        events_dir: folder of the artifact.
        acceptance: conditions under which the log is accepted.

    Raises:
        OSError: the disk is full.
        ValueError: DuckDB cannot use the path.
    """

    def __init__(self, events_dir: Path, acceptance: Acceptance) -> None:
        if set(str(events_dir.absolute())) & set(UNUSABLE):
            raise ValueError(f"Expected a path without ? and \\ for the events. Received: {events_dir.absolute()}")
        self.events_dir = events_dir
        self.acceptance = acceptance
        self.dir = events_dir.with_name(f".{events_dir.name}.draft")
        self.num_lines = 0
        self.findings = dict.fromkeys(FINDINGS, 0)
        self.counters: dict[str, SplitCounter] = {}
        self.other_sessions = pa.array([], pa.string())

    def __enter__(self) -> "EventsDraft":
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        self.rejected = RejectedLines(self.dir / REJECTED_NAME)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept: Path | None = None
        try:
            self.rejected.close()
            if isinstance(error, ValueError) and self.rejected.num_lines:
                kept = self._keep(self.rejected.path)
        except OSError as closing:
            error = error or closing
        shutil.rmtree(self.dir, ignore_errors=True)
        if error is not None and _is_out_of_space(error):
            raise OSError(
                getattr(error, "errno", None) or errno.ENOSPC,
                f"Expected room for the events and for sorting them in {self.events_dir.parent}. Received: {error}",
            ) from error
        if kept:
            raise ValueError(f"{error}. All rejected lines are in {kept}") from error

    def spill_dir(self, name: str) -> Path:
        """Creates a folder for temporary files, which is removed with the draft."""
        folder = self.dir / name
        folder.mkdir()
        return folder

    def count(self, batch: Batch) -> None:
        """Counts the lines of a batch and writes its rejected lines.

        Raises:
            ValueError: too many lines were rejected, even if all remaining lines were accepted.
        """
        self.num_lines += batch.num_lines
        self.findings["cut_files"] += batch.is_cut
        self.findings["seconds"] += int((batch.events.column(-1).to_numpy() < SECONDS_BELOW).sum())
        if batch.rejected is not None:
            self.rejected.add(batch.rejected)
            self._check_share(batch.max_lines_left)

    def check_lines(self) -> None:
        """Checks the share of rejected lines after all lines have been counted.

        Raises:
            ValueError: too many lines were rejected, or the log has no events.
        """
        self._check_share(0)
        if self.rejected.num_lines == self.num_lines:
            raise ValueError("Expected at least one event in the log. Received: a header without rows")

    def _check_share(self, max_lines_left: int) -> None:
        num_rejected, limit = self.rejected.num_lines, self.acceptance.max_rejected_share
        if num_rejected > limit * (self.num_lines + max_lines_left):
            rest = f" so far, with at most {max_lines_left:,} to follow" if max_lines_left else ""
            raise ValueError(
                f"Expected at most {limit:.2%} of the lines to be rejected. Received: {num_rejected:,} of "
                f"{self.num_lines:,}{rest}. {self.rejected.describe()}"
            )

    def write_split(self, split: str, batches: Iterable[SortedEvents], *, has_own_sessions: bool = False) -> None:
        """Writes a split and computes its statistics.

        The train split must be written last, because the session ids of the other splits are kept in memory.

        Args:
            split: name of the split.
            batches: events of the split.
            has_own_sessions: whether its sessions cannot occur in other splits; this skips the check.

        Raises:
            ValueError: the split has no events.
        """
        counter = self.counters[split] = SplitCounter()
        own: list[pa.StringArray] = []
        schema = pa.schema(
            [
                *(pa.field(name, pa.dictionary(pa.int32(), pa.string()), nullable=False) for name in ID_COLUMNS),
                pa.field("time", pa.int64(), nullable=False),
            ]
        )
        with (
            pq.ParquetWriter(
                split_path(self.dir, split),
                schema,
                compression="snappy",
                use_dictionary=ID_COLUMNS,
                column_encoding={"time": "DELTA_BINARY_PACKED"},
                dictionary_pagesize_limit=1 << 26,
                write_statistics=["time"],  # statistics of ids take a third of the time, and no reader uses them
                store_schema=False,
            ) as writer,
            ThreadPoolExecutor(1) as executor,
        ):
            writing: Future[None] | None = None
            for events in batches:
                if writing is not None:
                    writing.result()
                table = events.to_table().cast(schema)
                writing = executor.submit(writer.write_table, table, row_group_size=len(table))
                counter.add(events)
                if has_own_sessions:
                    continue
                own.append(events.session_ids)
                if split == "train" and sum(map(len, own)) >= len(self.other_sessions):
                    self._count_shared(own)
                    own = []
            if writing is not None:
                writing.result()
        if not counter.num_events:
            raise ValueError(f"Expected at least one event in {split}. Received: none")
        self.findings["duplicates"] += counter.num_duplicates
        self.findings["backward_times"] += counter.num_backward_sessions
        self._count_shared(own)
        if split != "train":
            self.other_sessions = pc.unique(pa.chunked_array([self.other_sessions, *own]))

    def _count_shared(self, session_ids: list[pa.StringArray]) -> None:
        shared = find_shared(pa.chunked_array(session_ids, pa.string()), self.other_sessions)
        self.findings["sessions_in_two_splits"] += len(shared)

    def publish(self) -> DataReport:
        """Makes the data report, checks findings and drift, and moves the artifact to its final folder.

        Raises:
            FileNotFoundError: the previous artifact does not exist.
            ValueError: a finding is an error, or a drift measure exceeds its bound.
        """
        train_items = self.counters["train"].item_counts()
        report = DataReport(
            num_lines=self.num_lines,
            num_accepted=self.num_lines - self.rejected.num_lines,
            num_rejected=self.rejected.num_lines,
            rejected_by_reason=dict(self.rejected.reasons.most_common()),
            splits={split: report_split(self.counters[split], train_items) for split in SPLITS},
            findings=self.findings,
        )
        wrong = [f"{self.findings[name]:,} {name}" for name in self.acceptance.data_errors if self.findings[name]]
        if wrong:
            raise ValueError(f"Expected none of the findings that are errors. Received: {', '.join(wrong)}")
        if self.acceptance.previous_events:
            report.drift = compare(report, train_items, self.acceptance.previous_events, self.acceptance.drift)
            _check_drift(report.drift)
        pq.write_table(train_items, self.dir / ITEM_COUNTS_NAME, compression="zstd")
        report.write(self.dir / REPORT_NAME)
        (self.dir / "report.md").write_text(report.to_markdown())
        self.rejected.close()
        self._move()
        return report

    def _move(self) -> None:
        """Moves the files one by one, as any mounted bucket allows. Train is last and marks a complete artifact."""
        split_path(self.events_dir, "train").unlink(missing_ok=True)
        last = split_path(self.dir, "train")
        for path in sorted(self.dir.iterdir(), key=lambda path: path == last):
            if path.is_file():
                self._keep(path)

    def _keep(self, path: Path) -> Path:
        """Moves a file of the draft to the artifact's folder."""
        self.events_dir.mkdir(parents=True, exist_ok=True)
        return path.replace(self.events_dir / path.name)


def _is_out_of_space(error: BaseException) -> bool:
    """Whether the disk is full. DuckDB's error types have other causes too, so its messages are checked."""
    if isinstance(error, OSError):
        return error.errno in NO_SPACE
    if not type(error).__module__.endswith("duckdb"):
        return False
    return any(text in str(error) for text in ("max_temp_directory_size", *map(os.strerror, NO_SPACE)))


def _check_drift(drift: list[dict[str, Any]]) -> None:
    failed = [
        f"{found['name']} {found['value']:.3f} above {found['fail']:g}"
        for found in drift
        if found["verdict"] == "fails"
    ]
    if failed:
        raise ValueError(f"Expected no drift above its bound. Received: {', '.join(failed)}")
