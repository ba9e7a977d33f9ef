"""Reads schedules from a YAML file, which can be kept under version control and applied as a whole."""

from pathlib import Path
from typing import Any

from components.core.strict_yaml import load_yaml
from pipeline.cluster.options import SCHEDULE_SETTINGS, SUBMISSION_SETTINGS, make_pipeline_setting, make_schedule
from pipeline.cluster.schedule import Schedule
from pipeline.compilation import SCHEDULED_PIPELINE, TARGETS

# The keys of an entry, in addition to `parameters`; `name` and `cron` are required. A key with the name of a target
# contains what differs on that target.
SETTINGS = {
    setting.name: setting
    for setting in (*SCHEDULE_SETTINGS, make_pipeline_setting(SCHEDULED_PIPELINE), *SUBMISSION_SETTINGS)
}


def read_schedules(path: Path, target: str) -> list[Schedule]:
    """Reads a file with a list `schedules` of mappings with the keys of SETTINGS.

    Args:
        path: the file.
        target: type of cluster, one of TARGETS.

    Raises:
        ValueError: the file is invalid, or two entries have the same name.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected {path} to be YAML. Received: {error}") from error
    document = load_yaml(text, str(path))
    entries = document.get("schedules") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"Expected a list `schedules` of mappings in {path}. Received: {str(document)[:80]!r}")
    schedules = [_make_schedule(entry, target, path.parent) for entry in entries]
    names = [schedule.name for schedule in schedules]
    if len(set(names)) < len(names):
        raise ValueError(f"Expected unique names of schedules in {path}. Received: {', '.join(names)}")
    return schedules


def _make_schedule(entry: dict[str, Any], target: str, folder: Path) -> Schedule:
    common = {key: value for key, value in entry.items() if key not in TARGETS}
    overrides = {key: value for key, value in entry.items() if key in TARGETS}
    layers = [common, *overrides.values()]
    if not all(isinstance(layer, dict) and isinstance(layer.get("parameters", {}), dict) for layer in layers):
        raise ValueError(f"Expected {', '.join(TARGETS)} and parameters to be mappings. Received: {entry}")
    unknown = [str(key) for layer in layers for key in layer if key not in (*SETTINGS, "parameters")]
    if unknown or not {"name", "cron"} <= set(common):
        optional = ", ".join(key for key in (*SETTINGS, "parameters") if key not in ("name", "cron"))
        raise ValueError(
            f"Expected name, cron and any of {optional}. Received: {', '.join(unknown or map(str, entry))}"
        )
    for layer in layers:
        for key in layer.keys() - {"parameters"}:
            SETTINGS[key].check(layer[key])
    override = overrides.get(target, {})
    defaults = {name: setting.default for name, setting in SETTINGS.items()}
    values = {**defaults, **common, **override, "target": target}
    if values["platform"]:
        values["platform"] = str(folder / values["platform"])
    parameters = {**common.get("parameters", {}), **override.get("parameters", {})}
    return make_schedule(values, parameters)
