"""Documents of a good run, as `evaluate`, `export` and the step that reads the log write them for the gate."""

import copy
import json
import math
from pathlib import Path
from typing import Any

from components.core.intake.acceptance import Acceptance
from components.gate.documents import Document, Documents
from components.gate.parameters import GateParameters
from components.gate.rules import RULES
from components.gate.verdict import Verdict, decide

PREVIOUS = "s3://shop/events/last-week"
WEEK_MS = 7 * 24 * 3600 * 1000
TEST = {"num_events": 30_106, "num_sessions": 5_883, "first_time": 1_441_411_200_000, "last_time": 1_442_015_999_000}
MODEL = {"recall@1": 0.215, "recall@20": 0.574, "mrr@20": 0.313, "ndcg@20": 0.374}
# recall@20 and MRR@20.
BASELINES = {
    "popularity": (0.016, 0.005),
    "session_popularity": (0.349, 0.262),
    "markov": (0.364, 0.194),
    "sequential_rules": (0.414, 0.211),
    "item_knn": (0.270, 0.106),
    "v_sknn": (0.524, 0.273),
    "stan": (0.549, 0.294),
}
METRICS = ("recall@20", "mrr@20")
HALF_WIDTH = 0.004


def around(difference: float, half_width: float = HALF_WIDTH) -> list[float]:
    return [difference - half_width, difference + half_width]


def make_documents(*, champion: str = "compared") -> dict[str, Any]:
    """The documents by the name of the gate's input; `champion` is the status of the published model."""
    baselines = {name: dict(zip(METRICS, values, strict=True)) for name, values in BASELINES.items()}
    metrics = {
        "schema_version": 1,
        "test": dict(TEST),
        "trained_until": TEST["first_time"] - 1_000,
        "num_targets": 24_223,
        "num_targets_in_split": 24_223,
        "num_unknown_targets": 912,
        "num_sessions": 5_883,
        "num_items": 36_751,
        "min_prefix": 1,
        "model": dict(MODEL),
        "baselines": baselines,
        "known_targets": {"model": dict(MODEL), "baselines": copy.deepcopy(baselines)},
        "intervals": {
            "model": {metric: around(MODEL[metric]) for metric in METRICS},
            "ahead_of": {
                name: {metric: around(MODEL[metric] - each[metric]) for metric in METRICS}
                for name, each in baselines.items()
            },
        },
        "by_prefix_length": {"1": {"num_targets": 5_883, "recall@20": 0.6}},
        "by_target_popularity": {"head": {"num_targets": 8_000, "recall@20": 0.5}},
        "coverage@20": {"model": 0.8, **dict.fromkeys(BASELINES, 0.5)},
        "popularity_percentile@20": {"model": 0.6, **dict.fromkeys(BASELINES, 0.7)},
        "parameters": {"embedding_dim": 128},
        "training": {"seconds": 284.0, "epochs": 15},
        "champion": make_champion(champion),
    }
    index_check = {
        "schema_version": 1,
        "test": dict(TEST),
        "num_queries": 1_000,
        "index_recall": 1.0,
        "p99_ms": 4.2,
        "score_difference": 3e-7,
    }
    findings = dict.fromkeys(
        ("duplicates", "backward_times", "sessions_in_two_splits", "splits_out_of_order", "ties", "long_sessions"), 0
    ) | dict.fromkeys(
        (
            "busy_visitors",
            "no_event_column",
            "missing_event_types",
            "seconds",
            "cut_files",
            "null_texts",
            "small_splits",
        ),
        0,
    )
    report = {
        "schema_version": 1,
        "num_lines": 700_000,
        "num_accepted": 699_990,
        "num_rejected": 10,
        "rejected_by_reason": {"blank line": 10},
        "splits": {
            "train": {"num_events": 625_209, "num_sessions": 114_402},
            "valid": {"num_events": 30_669, "num_sessions": 5_883},
            "test": {**TEST, "num_items": 9_000},
        },
        "findings": findings,
        "drift": [
            {"name": name, "value": value, "warn": 0.3, "fail": 0.8, "verdict": "ok"}
            for name, value in (
                ("volume", 0.02), ("session_length", 0.01), ("lost_items", 0.05), ("popularity", 0.04)
            )
        ],
        "funnel": {"read": 700_000, "dropped": {}, "kept": {"train": 700_000}},
        "time_formats": {"milliseconds": 700_000},
        "lost_event_share": 0.41,
    }  # fmt: skip
    return {"metrics": metrics, "index_check": index_check, "report": report}


def make_champion(status: str) -> dict[str, Any]:
    if status == "none":
        return {"status": "none", "reason": "The serving location holds no version."}
    if status == "unreadable":
        return {"status": "unreadable", "reason": "Access to s3://shop/serving was denied."}
    known = {"version": 3, "trained_until": TEST["first_time"] - 1}
    if status == "too_few_targets":
        known["trained_until"] = TEST["last_time"] - 1_000
        return {"status": status, "reason": "2 targets are left.", "num_targets": 2, **known}
    published = {"recall@20": 0.571, "mrr@20": 0.311}
    return {
        "status": "compared",
        **known,
        "num_targets": 24_223,
        "model": dict(MODEL),
        "champion": {"recall@1": 0.214, **published},
        "ahead": {"recall@1": around(0.001), **{name: around(MODEL[name] - each) for name, each in published.items()}},
    }


def make_parameters(**changed: Any) -> GateParameters:
    return GateParameters(**{"acceptance": Acceptance(previous_events=PREVIOUS), **changed})


def judge(documents: dict[str, Any], parameters: GateParameters | None = None, rules: Any = RULES) -> Verdict:
    """Judges parsed documents; an exception among them stands for a file that could not be read."""

    def wrap(name: str) -> Document:
        content = documents[name]
        if isinstance(content, Exception):
            return Document(name=f"{name}.json", error=f"{type(content).__name__}: {content}")
        return Document(name=f"{name}.json", content=content)

    return decide(
        Documents(metrics=wrap("metrics"), index_check=wrap("index_check"), report=wrap("report")),
        parameters or make_parameters(),
        rules,
    )


def write_documents(documents: dict[str, Any], folder: Path) -> tuple[Path, Path, Path]:
    """Writes the documents as files; returns the first three arguments of the gate."""
    events = folder / "events"
    events.mkdir(parents=True)
    paths = {"metrics": folder / "metrics.json", "index_check": folder / "check.json", "report": events / "report.json"}
    for name, path in paths.items():
        path.write_text(json.dumps(documents[name]))
    return paths["metrics"], paths["index_check"], events


NAN = math.nan
