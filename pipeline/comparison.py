"""Compares runs: their metrics, in pairs where they ranked the same targets, and what differs between them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

METRICS = ("recall@10", "recall@20", "recall@100", "mrr@20", "ndcg@20")
RANKS_NAME, METRICS_NAME = "ranks.parquet", "metrics.json"
TARGET_COLUMNS = ("session", "position")  # what identifies a target
RANKS_COLUMNS = (*TARGET_COLUMNS, "model")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run to compare.

    Attributes:
        name: what the user called it.
        metrics: the contents of metrics.json.
        ranks: the table ranks.parquet; None if the run has none.
    """

    name: str
    metrics: dict[str, Any]
    ranks: "pa.Table | None"

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters of the run; of a run on a cluster, those of the training."""
        run: dict[str, Any] = self.metrics.get("run", {})
        parameters: dict[str, Any] = run.get("parameters", self.metrics.get("parameters", {}))
        return parameters


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` found.

    Attributes:
        names: names of the runs; all are compared with the first.
        values: the value of each metric for each run, [num_runs] by metric.
        intervals: 95% interval of the paired difference from the first run, [num_runs - 1] by metric; None without one.
        differences: for each parameter or property that differs, its value in each run, [num_runs] by name.
        warnings: sentences that limit what the comparison means.
    """

    names: list[str]
    values: dict[str, list[float]]
    intervals: dict[str, list[list[float] | None]]
    differences: dict[str, list[Any]]
    warnings: list[str]


def read_run(path: Path) -> Run:
    """Reads a run.

    Args:
        path: an output folder, the folder of a run, or a metrics.json beside which ranks.parquet lies.

    Raises:
        FileNotFoundError: there is no metrics.json.
        ValueError: metrics.json has no metrics of a model, or ranks.parquet no ranks.
    """
    metrics_path = path if path.name == METRICS_NAME else path / METRICS_NAME
    if not metrics_path.is_file():
        raise FileNotFoundError(f"Expected an output folder with {METRICS_NAME}. Received: {path}")
    metrics_path = metrics_path.resolve()  # the files of one run, though another may be published meanwhile
    try:
        document = json.loads(metrics_path.read_text())
        _ = document["model"], document["num_targets"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"Expected {metrics_path} to be the metrics of a run. Received: {error!r}") from error
    ranks_path = metrics_path.with_name(RANKS_NAME)
    ranks = _read_ranks(ranks_path) if ranks_path.is_file() else None
    return Run(name=str(path), metrics=document, ranks=ranks)


def _read_ranks(path: Path) -> "pa.Table":
    """Reads the ranks of a run's model.

    Raises:
        ValueError: the file is no Parquet file, or one of something else.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    advice = "Restore it, or remove it for a comparison without intervals"
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"Expected {path} to be a Parquet file. Received: {error}. {advice}") from error
    types = dict(zip(table.column_names, table.schema.types, strict=True))
    if not all(name in types and pa.types.is_integer(types[name]) for name in RANKS_COLUMNS):
        raise ValueError(
            f"Expected {path} to be the ranks of a run, with integers in the columns {', '.join(RANKS_COLUMNS)}. "
            f"Received: the columns {', '.join(f'{name} ({kind})' for name, kind in types.items())}. {advice}"
        )
    return table


def compare(runs: Sequence[Run]) -> Comparison:
    """Compares each run with the first one.

    The intervals are those of the bootstrap over sessions (`metrics.Bootstrap`), on the targets of both runs in the
    same order. Runs that ranked different targets have none.

    Raises:
        ValueError: there are fewer than two runs, or they have no metric in common.
    """
    if len(runs) < 2:
        raise ValueError(f"Expected at least 2 runs to compare. Received: {len(runs)}")
    names = [name for name in METRICS if all(name in run.metrics["model"] for run in runs)]
    if not names:
        names = [name for name in runs[0].metrics["model"] if all(name in run.metrics["model"] for run in runs)]
    if not names:
        raise ValueError("Expected runs with a metric in common. Received: none. Use runs with the same evaluate_ks")
    intervals: dict[str, list[list[float] | None]] = {name: [] for name in names}
    warnings = []
    for run in runs[1:]:
        reason = _find_reason_against_pairs(runs[0], run)
        if reason:
            warnings.append(f"{run.name} and {runs[0].name}: {reason}")
        found = {} if reason else _find_intervals(runs[0].ranks, run.ranks, names)
        for name in names:
            intervals[name].append(found.get(name))
    return Comparison(
        names=[run.name for run in runs],
        values={name: [run.metrics["model"][name] for run in runs] for name in names},
        intervals=intervals,
        differences=_find_differences(runs),
        warnings=warnings,
    )


def _find_reason_against_pairs(first: Run, second: Run) -> str:
    """Returns why two runs cannot be compared target by target; empty if they can."""
    if first.ranks is None or second.ranks is None:
        return f"{RANKS_NAME} is missing, so the differences have no intervals."
    if not first.ranks.select(TARGET_COLUMNS).equals(second.ranks.select(TARGET_COLUMNS)):
        return "they were tested on different sessions, so the metrics do not compare and have no intervals."
    return ""


def _find_intervals(first: "pa.Table", second: "pa.Table", names: Sequence[str]) -> dict[str, list[float]]:
    """Returns the 95% interval of the difference of each metric, the second run's minus the first's."""
    from components.core.metrics import METRICS as FORMULAS
    from components.core.metrics import Bootstrap

    bootstrap = Bootstrap(first["session"].to_numpy())
    ranks = [table["model"].to_numpy() for table in (first, second)]
    intervals = {}
    for name in names:
        formula, _, k = name.partition("@")
        before, after = (FORMULAS[formula](each, int(k)) for each in ranks)
        intervals[name] = bootstrap.interval(after - before)
    return intervals


def _find_differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Returns the parameters that differ, then the properties of data, sources and machine that do."""
    found = {}
    for name in dict.fromkeys(name for run in runs for name in run.parameters):
        found[name] = [run.parameters.get(name) for run in runs]
    for label, keys in (
        ("preset", ("preset",)),
        ("KFP", ("versions", "kfp")),
        ("host", ("host",)),
    ):
        found[label] = [_find(run.metrics.get("run", {}), keys) for run in runs]
    for label, key in (("source version", "source_version"), ("TensorFlow", "tensorflow")):
        found[label] = [_find(run.metrics, ("origin", key)) for run in runs]
    for name in dict.fromkeys(name for run in runs for name in run.metrics.get("run", {}).get("data", {})):
        hashes = [_find(run.metrics.get("run", {}), ("data", name, "sha256")) for run in runs]
        found[f"contents of {name}"] = [each and each[:12] for each in hashes]
    for split in ("train", "valid", "test"):
        hashes = [_find(run.metrics, ("origin", "events", split)) for run in runs]
        found[f"events of {split}"] = [each and each[:12] for each in hashes]
    found["test sessions"] = [_find(run.metrics, ("test", "num_sessions")) for run in runs]
    found["training seconds"] = [_round(_find(run.metrics, ("training", "seconds"))) for run in runs]
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def _find(document: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
