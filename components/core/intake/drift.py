"""Measures how much the data of this run differs from the data of the previous run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.intake.data_report import DataReport
from components.core.logs.files import LogFile, find_files

REPORT_NAME = "report.json"
ITEM_COUNTS_NAME = "item_counts.parquet"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of a drift measure.

    Attributes:
        warn: a value above this bound is reported as a warning; at most `fail`.
        fail: a value above this bound fails the step; infinity for never.
    """

    warn: float
    fail: float

    def __post_init__(self) -> None:
        if not 0 <= self.warn <= self.fail:
            raise ValueError(
                f"Expected drift bounds to be 0 <= warn <= fail. Received: warn={self.warn}, fail={self.fail}"
            )

    def judge(self, value: float) -> str:
        """Returns `ok`, `warns` or `fails`."""
        return "fails" if value > self.fail else "warns" if value > self.warn else "ok"


@dataclass(frozen=True, kw_only=True)
class DriftBounds:
    """Bounds of each drift measure of the train split.

    Attributes:
        volume: |log2| of the ratio of the numbers of events; 1 means twice or half as many.
        session_length: |log2| of the ratio of the mean numbers of events per session.
        lost_items: share of the previous run's items that do not occur in this run.
        popularity: Jensen-Shannon divergence of the items' shares of events in bits; 0 if equal, 1 if disjoint.
    """

    volume: Bounds = Bounds(warn=0.5, fail=2.0)
    session_length: Bounds = Bounds(warn=0.25, fail=1.0)
    lost_items: Bounds = Bounds(warn=0.3, fail=0.8)
    popularity: Bounds = Bounds(warn=0.3, fail=0.8)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "DriftBounds":
        """Parses bounds such as `lost_items=0.3:0.8`; other measures keep their default bounds.

        Raises:
            ValueError: a text is not NAME=WARN:FAIL, or a measure is unknown or named twice.
        """
        names = [field.name for field in fields(cls)]
        bounds: dict[str, Bounds] = {}
        for text in texts:
            match = re.fullmatch(r"\s*(\w+)\s*=\s*([^:\s]+)\s*:\s*([^:\s]+)\s*", text)
            if match is None or match[1] not in names or match[1] in bounds:
                raise ValueError(
                    f"Expected drift_bounds to be NAME=WARN:FAIL with each of {', '.join(names)} once at most. "
                    f"Received: {text!r}"
                )
            try:
                bounds[match[1]] = Bounds(warn=float(match[2]), fail=float(match[3]))
            except ValueError as error:
                raise ValueError(
                    f"Expected two numbers, 0 <= WARN <= FAIL, in drift_bounds. Received: {text!r}"
                ) from error
        return cls(**bounds)


def compare(report: DataReport, item_counts: pa.Table, previous: str, bounds: DriftBounds) -> list[dict[str, Any]]:
    """Compares the train split with that of a previous events artifact.

    Args:
        report: data report of this run.
        item_counts: table with `item_id` and `count` of this run's train split.
        previous: folder of the previous artifact with its report and item counts; on disk or in a bucket.
        bounds: bounds of the measures.

    Returns:
        A dictionary with name, value, warn, fail and verdict for each field of DriftBounds.

    Raises:
        FileNotFoundError: the previous artifact does not exist or lacks a file.
        ValueError: a file of the previous artifact cannot be reached, or its report is not a data report.
    """
    report_file, counts_file = (_find(previous, name) for name in (REPORT_NAME, ITEM_COUNTS_NAME))
    with report_file.open_stream() as stream:
        before = DataReport.parse(stream.read(), report_file.name).splits["train"]
    now = report.splits["train"]
    with counts_file.open_stream() as stream:
        previous_counts = pq.read_table(stream)
    is_gone = pc.invert(pc.is_in(previous_counts["item_id"], value_set=item_counts["item_id"]))
    num_gone = pc.sum(is_gone).as_py() or 0
    values = {
        "volume": abs(np.log2(now.num_events / before.num_events)),
        "session_length": abs(
            np.log2(now.num_events / now.num_sessions) - np.log2(before.num_events / before.num_sessions)
        ),
        "lost_items": num_gone / previous_counts.num_rows,
        "popularity": jensen_shannon(item_counts, previous_counts),
    }
    found = []
    for name, value in values.items():
        bound: Bounds = getattr(bounds, name)
        found.append(
            {
                "name": name,
                "value": float(value),
                "warn": bound.warn,
                "fail": bound.fail,
                "verdict": bound.judge(value),
            }
        )
    return found


def check_drift(drift: Sequence[Mapping[str, Any]]) -> None:
    """Checks that no measure fails.

    Args:
        drift: result of `compare`.

    Raises:
        ValueError: a measure exceeds its bound.
    """
    failed = [
        f"{found['name']} {found['value']:.3f} above {found['fail']:g}"
        for found in drift
        if found["verdict"] == "fails"
    ]
    if failed:
        raise ValueError(f"Expected no drift above its bound. Received: {', '.join(failed)}")


def _find(folder: str, name: str) -> LogFile:
    try:
        return find_files(f"{folder.rstrip('/')}/{name}")[0]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"Expected the previous events artifact to hold {name}. Received: {folder}") from error


def jensen_shannon(ours: pa.Table, theirs: pa.Table) -> float:
    """Jensen-Shannon divergence in bits of two distributions given as counts (Lin 1991, equation 3.2).

    Args:
        ours: table with `item_id` and `count`.
        theirs: table with the same columns.
    """
    joined = ours.join(theirs, "item_id", join_type="full outer", right_suffix="_theirs")
    counts = [pc.fill_null(joined[name], 0).to_numpy().astype(np.float64) for name in ("count", "count_theirs")]
    first, second = (count / count.sum() for count in counts)
    middle = (first + second) / 2
    return float((_relative_entropy(first, middle) + _relative_entropy(second, middle)) / 2)


def _relative_entropy(share: np.ndarray, of: np.ndarray) -> float:
    held = share > 0
    return float((share[held] * np.log2(share[held] / of[held])).sum())
