"""Schedules as a file, to be kept beside the code and applied as a whole."""

from pathlib import Path
from typing import Any

import yaml

from components.image import IMAGE
from pipeline import presets
from pipeline.cluster.cron import Cron
from pipeline.cluster.schedule import Schedule
from pipeline.cluster.submission import Submission
from pipeline.compilation import SCHEDULED_PIPELINE, TARGETS
from pipeline.tasks import Tasks

# What an entry may say; `name` and `cron` it must. Under the name of a target it may say what differs there.
KEYS = (
    "name",
    "cron",
    "time_zone",
    "cluster_time_zone",
    "enabled",
    "pipeline",
    "image",
    "accelerator",
    "accelerator_count",
    "object_store_secret",
    "checkpoint_claim",
    "preset",
    "parameters",
    "experiment",
    "service_account",
    "pipeline_root",
)


def read_schedules(path: Path, target: str) -> list[Schedule]:
    """Reads a file with a list `schedules`, a mapping with KEYS each.

    Args:
        path: the file.
        target: kind of cluster, one of TARGETS.

    Raises:
        ValueError: the file is not like that, or two entries have one name.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"Expected YAML in {path}. Received: {error}") from error
    entries = document.get("schedules") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"Expected a list `schedules` of mappings in {path}. Received: {str(document)[:80]!r}")
    schedules = [_make_schedule(entry, target) for entry in entries]
    names = [schedule.name for schedule in schedules]
    if len(set(names)) < len(names):
        raise ValueError(f"Expected a name of its own for each schedule in {path}. Received: {', '.join(names)}")
    return schedules


def _make_schedule(entry: dict[str, Any], target: str) -> Schedule:
    entry = {**entry}
    overrides = {name: entry.pop(name) for name in TARGETS if name in entry}
    if not all(isinstance(override, dict) for override in overrides.values()):
        raise ValueError(f"Expected a mapping under each of {', '.join(overrides)}. Received: {overrides}")
    unknown = [str(key) for one in (entry, *overrides.values()) for key in one if key not in KEYS]
    if unknown or not {"name", "cron"} <= set(entry):
        raise ValueError(
            f"Expected name, cron and of {', '.join(KEYS[2:])} what differs. Received: {', '.join(unknown or entry)}"
        )
    override = overrides.get(target, {})
    parameters = {**entry.get("parameters", {}), **override.get("parameters", {})}
    entry = {**entry, **override}
    preset = presets.get_preset(entry["preset"]) if "preset" in entry else {}
    submission = Submission(
        pipeline=entry.get("pipeline", SCHEDULED_PIPELINE),
        tasks=Tasks(
            image=entry.get("image", IMAGE),
            platform=target,
            accelerator=entry.get("accelerator", ""),
            num_accelerators=entry.get("accelerator_count", 1),
            object_store_secret=entry.get("object_store_secret", ""),
            checkpoint_claim=entry.get("checkpoint_claim", ""),
        ),
        parameters={**preset, **parameters},
        **{key: entry[key] for key in ("experiment", "service_account", "pipeline_root") if key in entry},
    )
    return Schedule(
        name=entry["name"],
        cron=Cron(expression=entry["cron"], time_zone=entry.get("time_zone", "UTC")),
        submission=submission,
        enabled=entry.get("enabled", True),
        cluster_time_zone=entry.get("cluster_time_zone", "UTC"),
    )
