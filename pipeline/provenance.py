"""Where a run's metrics come from: the block `run` of metrics.json."""

import json
import platform
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from components.image import SOURCE_VERSION

PACKAGES = ("tensorflow", "tf-keras", "tensorflow-recommenders", "kfp")


def describe_run(
    *,
    data: Mapping[str, Mapping[str, Any]],
    report: Mapping[str, Any],
    preset: str,
    parameters: Mapping[str, Any],
    image: str,
    started: datetime,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Returns the block `run`.

    Args:
        data: path, number of files, bytes and hash by the parameter with the location of a log.
        report: the data report of the events.
        preset: name of the preset.
        parameters: values of all parameters.
        image: image of the tasks; empty if they ran in processes of this machine.
        started: when the run was started.
        seconds: how long each step took; steps that an earlier attempt has done are missing.
    """
    return {
        "data": dict(data),
        "rows": report["num_lines"],
        "splits": {
            name: {key: split[key] for key in ("num_events", "num_sessions", "first_time", "last_time")}
            for name, split in report["splits"].items()
        },
        "source_version": SOURCE_VERSION,
        "image": image,
        "versions": {"python": platform.python_version(), **{name: _find_version(name) for name in PACKAGES}},
        "preset": preset,
        "parameters": dict(parameters),
        "host": socket.gethostname(),
        "started": started.astimezone(UTC).isoformat(timespec="seconds"),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }


def add_to_metrics(metrics_path: Path, run: Mapping[str, Any]) -> None:
    """Adds the block `run` to metrics.json."""
    document = json.loads(metrics_path.read_text())
    metrics_path.write_text(json.dumps({**document, "run": run}, indent=2))


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
