"""Writes the events artifact to a draft folder and moves it to its final folder when it is complete and accepted."""

import errno
import shutil
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core import schema_versions
from components.core.events import SPLITS, split_path
from components.core.intake.acceptance import FINDINGS, OUT_OF_ORDER_SHARE, Acceptance
from components.core.intake.data_report import (
    SECONDS_BELOW,
    DataReport,
    find_shared,
    report_split,
    share_of_missing_items,
)
from components.core.intake.disk_space import is_out_of_space
from components.core.intake.drift import ITEM_COUNTS_NAME, REPORT_NAME, check_drift, compare
from components.core.intake.funnel import describe_dropped, describe_span, make_funnel
from components.core.intake.null_texts import count_null_texts
from components.core.intake.ordering import SortedEvents
from components.core.intake.split_counter import SplitCounter
from components.core.logs.reader import Batch
from components.core.logs.rejected import REJECTED_NAME, RejectedLines
from components.core.logs.times import TIME_LIMIT
from components.core.presentation import count_of, show_time
from components.core.small_splits import find_small_splits

UNUSABLE = "?\\"  # in the path of a DuckDB database, ? starts the options and a backslash is read as a slash
ID_COLUMNS = ["session_id", "item_id"]


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
        self.first_time = TIME_LIMIT
        self.last_time = 0
        self.findings = dict.fromkeys(FINDINGS, 0)
        self.dropped: dict[str, int] = {}
        self.notes: list[str] = []
        self.time_formats: Counter[str] = Counter()
        self.null_texts: Counter[str] = Counter()
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
        if error is not None and is_out_of_space(error):
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
        self.time_formats[batch.times] += batch.num_lines
        self.findings["no_event_column"] += len(batch.missing)
        self.findings["cut_files"] += batch.is_cut
        self.null_texts += count_null_texts(batch.events)
        self.findings["null_texts"] = self.null_texts.total()
        times = batch.events.column(-1).to_numpy()
        first_time = int(times.min(initial=TIME_LIMIT))
        self.first_time = min(self.first_time, first_time)
        self.last_time = max(self.last_time, int(times.max(initial=0)))
        if first_time < SECONDS_BELOW:
            self.findings["seconds"] += int((times < SECONDS_BELOW).sum())
        if batch.rejected is not None:
            self.rejected.add(batch.rejected)
            self._check_share(batch.max_lines_left)

    def drop(self, label: str, num_events: int) -> None:
        """Counts accepted events that the step drops, under a label of the funnel.

        Labels are shown in the order of their first call.
        """
        self.dropped[label] = self.dropped.get(label, 0) + num_events

    def check_lines(self, log: str = "the log") -> None:
        """Checks the share of rejected lines after all lines of a log have been counted.

        Args:
            log: what the log is, for the error message.

        Raises:
            ValueError: too many lines were rejected, or the log has no events.
        """
        self._check_share(0)
        if self.rejected.num_lines == self.num_lines:
            lines = f"{count_of(self.num_lines, 'line')}, none of which is accepted. {self.rejected.describe()}"
            raise ValueError(
                f"Expected at least one event in {log}. Received: {lines if self.num_lines else 'no rows'}"
            )

    def _check_share(self, max_lines_left: int) -> None:
        num_rejected, limit = self.rejected.num_lines, self.acceptance.max_rejected_share
        if num_rejected > limit * (self.num_lines + max_lines_left):
            rest = f" so far, with at most {max_lines_left:,} to follow" if max_lines_left else ""
            raise ValueError(
                f"Expected at most {limit:.2%} of the lines to be rejected (max_rejected_share). Received: "
                f"{num_rejected:,} of {self.num_lines:,}{rest}. {self.rejected.describe()}"
            )

    def write_split(self, split: str, batches: Iterable[SortedEvents], *, has_own_sessions: bool = False) -> None:
        """Writes a split and computes its statistics.

        The train split must be written last, because the session ids of the other splits are kept in memory.

        Args:
            split: name of the split.
            batches: events of the split.
            has_own_sessions: whether the step cut and split the sessions itself, in order of time. This skips the
                comparison with other splits, and the findings about the order of the rows.

        Raises:
            ValueError: the split has no events; with `has_own_sessions`, `check_split` raises it.
        """
        counter = self.counters[split] = SplitCounter(keeps_starts=split != "train" and not has_own_sessions)
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
                compression="none",  # snappy would save a seventh of the size and take a third of the time
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
        if not has_own_sessions:
            self.check_split(split)
        self.findings["ties"] += counter.num_tied_sessions
        if has_own_sessions:
            return
        self.findings["duplicates"] += counter.num_duplicates
        self.findings["backward_times"] += counter.num_backward_sessions
        self._count_shared(own)
        if split != "train":
            self.other_sessions = pc.unique(pa.chunked_array([self.other_sessions, *own]))

    def check_split(self, split: str) -> None:
        """Raises a ValueError, which says what was dropped, if a split has no events."""
        if not self.counters[split].num_events:
            raise ValueError(f"Expected at least one event in {split}. Received: none. {self._describe_log()}")

    def _count_shared(self, session_ids: list[pa.StringArray]) -> None:
        shared = find_shared(pa.chunked_array(session_ids, pa.string()), self.other_sessions)
        self.findings["sessions_in_two_splits"] += len(shared)

    def _describe_log(self) -> str:
        """What a user needs to know if a split is empty."""
        num_events = self.num_lines - self.rejected.num_lines
        texts = [f"The {num_events:,} events read are {describe_span(self.first_time, self.last_time)}", *self.notes]
        return ". ".join([*texts, *describe_dropped(self.dropped, is_raw_log=bool(self.notes))])

    def _find_out_of_order(self) -> list[str]:
        """Counts the sessions that start before the newest session of an earlier split.

        Returns:
            A sentence about each split with more than OUT_OF_ORDER_SHARE of them.
        """
        found = []
        for position, split in enumerate(SPLITS[1:], 1):
            newest = max(self.counters[earlier].newest_start for earlier in SPLITS[:position])
            num_early, num_sessions = self.counters[split].count_starts_before(newest)
            self.findings["splits_out_of_order"] += num_early
            if num_early > OUT_OF_ORDER_SHARE * num_sessions:
                names = " and ".join(SPLITS[:position])
                found.append(
                    f"{split} begins before {names} end{'s' * (position == 1)}: {num_early:,} of its {num_sessions:,} "
                    f"sessions start before {show_time(newest)} UTC, when the newest session of {names} starts."
                )
        return found

    def publish(self) -> DataReport:
        """Makes the data report, checks findings and drift, and moves the artifact to its final folder.

        Raises:
            FileNotFoundError: the previous artifact does not exist.
            ValueError: a finding is an error, or a drift measure exceeds its bound.
        """
        train_items = self.counters["train"].item_counts()
        out_of_order = self._find_out_of_order()
        reasons = dict(self.rejected.reasons.most_common())
        kept = {split: self.counters[split].num_events for split in SPLITS}
        self.findings["small_splits"] = len(find_small_splits(kept))
        report = DataReport(
            num_lines=self.num_lines,
            num_accepted=self.num_lines - self.rejected.num_lines,
            num_rejected=self.rejected.num_lines,
            rejected_by_reason=reasons,
            splits={split: report_split(self.counters[split], train_items) for split in SPLITS},
            findings=self.findings,
            funnel=make_funnel(self.num_lines, reasons, self.dropped, kept),
            time_formats=dict(self.time_formats.most_common()),
            null_texts=dict(self.null_texts.most_common()),
            lost_event_share=share_of_missing_items(*(self.counters[split].item_counts() for split in SPLITS[1:])),
            schema_version=schema_versions.DATA_REPORT,
        )
        self.acceptance.check_findings(self.findings, out_of_order)
        if self.acceptance.previous_events:
            report.drift = compare(report, train_items, self.acceptance.previous_events, self.acceptance.drift)
            check_drift(report.drift)
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
