"""Summary statistics of an events artifact, as JSON and as Markdown."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.core.intake.funnel import check_funnel
from components.core.intake.split_counter import SplitCounter
from components.core.markdown import make_table
from components.core.presentation import count_of, show_time

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
SECONDS_BELOW = 100_000_000_000  # as milliseconds this is 1973-03-03, as seconds the year 5138


@dataclass(kw_only=True)
class SplitReport:
    """Statistics of one split.

    Attributes:
        num_events: number of events.
        num_sessions: number of distinct sessions.
        num_items: number of distinct items.
        first_time: time of the oldest event in milliseconds since 1970; None without events.
        last_time: time of the newest event, likewise.
        session_length: number of events per session at QUANTILES.
        item_popularity: number of events per item at QUANTILES.
        unknown_item_share: share of the events whose item does not occur in train.
    """

    num_events: int
    num_sessions: int
    num_items: int
    first_time: int | None
    last_time: int | None
    session_length: list[int]
    item_popularity: list[int]
    unknown_item_share: float


@dataclass(kw_only=True)
class DataReport:
    """Statistics of an events artifact.

    Attributes:
        num_lines: number of lines or rows read, excluding headers.
        num_accepted: number of accepted lines.
        num_rejected: number of rejected lines.
        rejected_by_reason: number of rejected lines by reason.
        splits: report of each split by name.
        findings: count of each of `acceptance.FINDINGS`.
        drift: result of `drift.compare` with the previous run; empty without a previous run.
        funnel: what became of each line: `read`, the number of lines; `dropped`, the number of lines by label, in the
            order of the step; `kept`, the number of events by split. Empty in reports of older versions.
        time_formats: number of lines by the format of their times.
        null_texts: number of lines by id that may be a missing value, such as `item NULL`; the finding `null_texts` is
            their sum.
        lost_event_share: share of the events of valid whose item does not occur in test; of two consecutive weeks, the
            share of last week's events whose items are gone. None in reports of older versions.
        schema_version: version of the JSON document; 0 in reports of older versions.
    """

    num_lines: int
    num_accepted: int
    num_rejected: int
    rejected_by_reason: dict[str, int]
    splits: dict[str, SplitReport]
    findings: dict[str, int]
    drift: list[dict[str, Any]] = field(default_factory=list)
    funnel: dict[str, Any] = field(default_factory=dict)
    time_formats: dict[str, int] = field(default_factory=dict)
    null_texts: dict[str, int] = field(default_factory=dict)
    lost_event_share: float | None = None
    schema_version: int = 0

    def __post_init__(self) -> None:
        if self.funnel:
            check_funnel(self.funnel)

    def write(self, path: Path) -> None:
        """Writes the report as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "DataReport":
        """Reads a report from a file that `write` wrote.

        Raises:
            ValueError: the file is not a data report.
        """
        return cls.parse(path.read_bytes(), str(path))

    @classmethod
    def parse(cls, document: bytes, name: str) -> "DataReport":
        """Parses the JSON that `write` writes.

        Args:
            document: content of the file.
            name: name of the file, for the error message.

        Raises:
            ValueError: the document is not a data report.
        """
        try:
            values = json.loads(document)
            splits = {name: SplitReport(**split) for name, split in values.pop("splits").items()}
            return cls(splits=splits, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"Expected the data report of a run in {name}. Received: {error}") from error

    def describe(self) -> str:
        """What was read and what is left of it, in one line."""
        sessions = sum(split.num_sessions for split in self.splits.values())
        events = sum(split.num_events for split in self.splits.values())
        text = f"{count_of(events, 'event')} of {count_of(sessions, 'session')} from {count_of(self.num_lines, 'line')}"
        return f"{text}, {self.num_rejected:,} rejected" if self.num_rejected else text

    def metadata(self) -> dict[str, float | str]:
        """Numbers by name, and the funnel as JSON, for the metadata of the artifact."""
        numbers: dict[str, float | str] = {
            "num_lines": self.num_lines,
            "num_rejected": self.num_rejected,
            "funnel": json.dumps(self.funnel, ensure_ascii=False),
            **self.findings,
        }
        for name, split in self.splits.items():
            numbers[f"num_{name}_events"] = split.num_events
            numbers[f"num_{name}_sessions"] = split.num_sessions
            numbers[f"num_{name}_items"] = split.num_items
            if name != "train":
                numbers[f"{name}_unknown_item_share"] = split.unknown_item_share
        return numbers

    def summary(self) -> dict[str, Any]:
        """Numbers for the record of the task: lines, accepted and rejected lines, events by split, drift by measure."""
        return {
            "num_lines": self.num_lines,
            "num_accepted": self.num_accepted,
            "num_rejected": self.num_rejected,
            "num_events": {name: split.num_events for name, split in self.splits.items()},
            "drift": {measure["name"]: measure["value"] for measure in self.drift},
        }

    def _funnel_rows(self) -> list[list[str]]:
        if not self.funnel:
            return []
        counts = {"read": self.funnel["read"], **self.funnel["dropped"], **self.funnel["kept"]}
        return [[label, f"{count:,}", f"{count / max(1, self.num_lines):.2%}"] for label, count in counts.items()]

    def to_markdown(self) -> str:
        """The report as Markdown tables."""
        names = list(self.splits)
        splits = list(self.splits.values())
        rows = [
            ["events", *(f"{split.num_events:,}" for split in splits)],
            ["sessions", *(f"{split.num_sessions:,}" for split in splits)],
            ["items", *(f"{split.num_items:,}" for split in splits)],
            ["first event", *(show_time(split.first_time) for split in splits)],
            ["last event", *(show_time(split.last_time) for split in splits)],
            ["events of items unknown to train", *(f"{split.unknown_item_share:.2%}" for split in splits)],
        ]
        for title, values in (
            ("events a session", [split.session_length for split in splits]),
            ("events an item", [split.item_popularity for split in splits]),
        ):
            for position, quantile in enumerate(QUANTILES):
                numbers = (f"{value[position]:,}" if value else "" for value in values)
                rows.append([f"{title}, {_quantile_name(quantile)}", *numbers])
        read = [
            ["lines read", f"{self.num_lines:,}"],
            ["accepted", f"{self.num_accepted:,}"],
            *([f"times in {name}", f"{count:,}"] for name, count in self.time_formats.items()),
            *([f"id {name}", f"{count:,}"] for name, count in self.null_texts.items()),
            *([name.replace("_", " "), f"{count:,}"] for name, count in self.findings.items()),
        ]
        if self.lost_event_share is not None:
            read.append(["events of valid whose item does not occur in test", f"{self.lost_event_share:.2%}"])
        parts = [
            "# Data report",
            "## What became of each line",
            # Kubeflow's page leaves no space between columns: a heading that is longer than the numbers does.
            make_table(["", "number of lines", "share"], self._funnel_rows()),
            "## Splits",
            make_table(["", *names], rows),
            "## What was read",
            make_table(["", "number"], read),
        ]
        if self.drift:
            drift = [
                [d["name"], f"{d['value']:.4f}", f"{d['warn']:g}", f"{d['fail']:g}", d["verdict"]] for d in self.drift
            ]
            parts += [
                "## Drift since the previous run",
                make_table(["", "value", "warns", "fails", "verdict"], drift),
            ]
        return "\n\n".join(parts) + "\n"


def report_split(counter: SplitCounter, train_items: pa.Table) -> SplitReport:
    """Computes the report of a split; `train_items` are the item counts of train."""
    counts = counter.item_counts()
    items_of_count = np.unique(counts["count"].to_numpy(), return_counts=True)
    lengths = np.flatnonzero(counter.sessions_of_length[1:]) + 1
    return SplitReport(
        num_events=counter.num_events,
        num_sessions=int(counter.sessions_of_length[1:].sum()),
        num_items=counts.num_rows,
        first_time=counter.first_time,
        last_time=counter.last_time,
        session_length=_quantiles(lengths, counter.sessions_of_length[lengths]),
        item_popularity=_quantiles(*items_of_count),
        unknown_item_share=0.0 if counts is train_items else share_of_missing_items(counts, train_items),
    )


def share_of_missing_items(counts: pa.Table, others: pa.Table) -> float:
    """Share of the events whose item does not occur in `others`; both tables have `item_id` and `count`."""
    num_events = pc.sum(counts["count"]).as_py() or 0
    shared = find_shared(counts["item_id"], others["item_id"])
    known = pc.sum(counts["count"].filter(pc.is_in(counts["item_id"], value_set=shared))).as_py() or 0
    return float((num_events - known) / max(1, num_events))


def find_shared(first: pa.Array | pa.ChunkedArray, second: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Ids that are in both arrays, each of which has distinct ids. Only the shorter array is hashed."""
    fewer, more = sorted((first, second), key=len)
    return more.filter(pc.is_in(more, value_set=fewer))


def _quantiles(values: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> list[int]:
    """For each of QUANTILES, the smallest value such that at least this share of all values does not exceed it."""
    if not len(values):
        return []
    total = np.cumsum(counts)
    ranks = np.maximum(np.ceil(np.array(QUANTILES) * total[-1]), 1)
    return [int(value) for value in values[np.searchsorted(total, ranks)]]


def _quantile_name(quantile: float) -> str:
    return {0.0: "least", 0.5: "median", 1.0: "most"}.get(quantile, f"{quantile:.0%} have at most")
