"""Turns the command-line options of `two-tower run` into a pipeline and its arguments."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline import presets
from pipeline.configuration import check_config, load_config
from pipeline.graph_parameters import COMPONENTS, LOCAL_PARAMETERS, list_inputs
from pipeline.layout_settings import get_layout_settings
from pipeline.retraining import make_retraining_pipeline
from pipeline.settings import parse_settings
from pipeline.tasks import Tasks
from pipeline.training import make_training_pipeline
from pipeline.validation import check_values

SPLIT_OPTIONS = {"train_path": "--train", "valid_path": "--valid", "test_path": "--test"}
# Pipeline parameters that have their own option.
OPTIONS = {
    **SPLIT_OPTIONS,
    "log_path": "--events",
    "as_of": "--as-of",
    "serving_uri": "--serving",
    "items_path": "--items",
}

# Parameters with the location of a log or a table.
LOCATIONS = ("train_path", "valid_path", "test_path", "log_path", "previous_events", "items_path")

# What a pipeline reads, and the options with which it is chosen.
LOGS = {"training": "split logs (--train, --valid, --test)", "retraining": "a raw log (--events)"}

_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, kw_only=True)
class LocalRun:
    """A run on this machine.

    Attributes:
        pipeline: the pipeline.
        arguments: its parameters; local paths are absolute and exist.
        preset: name of the preset.
        needs_sample_log: whether no log was given; the caller then adds the paths of a generated one.
        inputs: the local files and folders that the arguments refer to.
    """

    pipeline: Any
    arguments: dict[str, Any]
    preset: str
    needs_sample_log: bool
    inputs: tuple[Path, ...]

    def find_local_logs(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """Returns the paths of the logs on this machine by parameter; `arguments` are the run's, all of them."""
        found = {name: arguments.get(name) for name in LOCATIONS}
        return {name: location for name, location in found.items() if location and "://" not in location}


def make_local_run(
    options: Mapping[str, str | None],
    settings: tuple[str, ...],
    preset: str,
    tasks: Tasks,
    *,
    layout: str = "",
    config: Path | None = None,
) -> LocalRun:
    """Selects the pipeline and its arguments. `--train PATH` and `--set train_path=PATH` are equivalent.

    Args:
        options: values of the options in OPTIONS, by parameter name; None for options that are not given.
        settings: values of `--set`; they override the configuration, which overrides the layout, which overrides the
            preset.
        preset: name of the preset; empty for `sample` if no log is given, and `default` otherwise.
        tasks: the settings of all tasks.
        layout: name of the log's layout; empty for none.
        config: YAML file with values of parameters; None for none.

    Raises:
        click.UsageError: a parameter is given twice, options cannot be combined, or the layout is unknown.
        FileNotFoundError: a local file or folder does not exist.
        OSError: the serving location cannot be listed.
        ValueError: a preset or parameter is unknown, or a value has the wrong type.
    """
    given = {name: value for name, value in options.items() if value is not None}
    check_once(given, settings)
    settings += tuple(f"{name}={value}" for name, value in given.items())
    configured = load_config(config) if config is not None else {}
    # A configuration that a run has written names every parameter, the unused ones without a value.
    names = {_name(setting) for setting in settings} | {name for name, value in configured.items() if value != ""}
    missing = [option for name, option in SPLIT_OPTIONS.items() if name not in names]
    is_raw = "log_path" in names
    if is_raw and len(missing) < 3:
        raise click.UsageError("Expected --events or --train, --valid and --test. Received: both")
    if "as_of" in names and not is_raw:
        raise click.UsageError("Expected --as-of together with --events. Received: --as-of alone")
    if "serving_uri" in names and not is_raw:
        raise click.UsageError("Expected --serving together with --events. Received: --serving alone")
    if "gate_override" in names and "serving_uri" not in names:
        raise click.UsageError("Expected gate_override together with --serving. Received: gate_override alone")
    if 0 < len(missing) < 3:
        raise click.UsageError(f"Expected --train, --valid and --test together. Missing: {', '.join(missing)}")
    needs_sample_log = not is_raw and bool(missing)
    if layout and needs_sample_log:
        raise click.UsageError("Expected --layout together with a log. Received: --layout alone")
    preset = preset or (presets.SAMPLE if needs_sample_log else presets.DEFAULT)
    pipeline = make_retraining_pipeline(tasks) if is_raw else make_training_pipeline(tasks)
    parameters = pipeline.component_spec.inputs
    arguments = presets.get_preset(preset)
    foreign = [name for name in arguments if name not in parameters]
    if foreign:
        raise click.UsageError(
            f"The preset {preset!r} cannot be combined with {'--events' if is_raw else '--train, --valid and --test'}: "
            f"that pipeline has no parameter {', '.join(foreign)}."
        )
    if layout:
        try:
            arguments.update(get_layout_settings(layout, parameters))
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    kind, other = ("retraining", "training") if is_raw else ("training", "retraining")
    others = list_inputs(other)
    owners = dict.fromkeys(others, f"the pipeline over {LOGS[other]}")
    if config is not None:
        arguments.update(check_config(configured, config, parameters, others, owners=owners))
    arguments.update(parse_settings(settings, parameters, owners))
    check_values(COMPONENTS[kind], arguments)
    inputs = []
    for name in LOCATIONS:
        location = arguments.get(name)
        if location is None or "://" in location or (name in ("previous_events", "items_path") and not location):
            continue
        arguments[name], path = _find(name, location)
        inputs.append(path)
    if arguments.get("items_path"):
        from components.core.item_table import check_item_table

        check_item_table(arguments["items_path"])
    if arguments.get("serving_uri"):
        arguments["serving_uri"] = _find_serving_location(arguments["serving_uri"])
    return LocalRun(
        pipeline=pipeline, arguments=arguments, preset=preset, needs_sample_log=needs_sample_log, inputs=tuple(inputs)
    )


def check_once(given: Mapping[str, str], settings: tuple[str, ...]) -> None:
    """Checks that each parameter is given once.

    Args:
        given: values of options in OPTIONS, by parameter name.
        settings: values of `--set`.

    Raises:
        click.UsageError: a parameter is given twice, or is one that the run sets itself.
    """
    seen = set()
    for setting in settings:
        name = _name(setting)
        if name in given:
            raise click.UsageError(f"Expected {OPTIONS[name]} or --set {name}=... Received: both")
        if name in seen:
            raise click.UsageError(f"Expected --set {name}=... once. Received: twice")
        if name in LOCAL_PARAMETERS:
            raise click.UsageError(f"The run sets {name} itself, to a folder in --output. Omit --set {name}=...")
        seen.add(name)


def _name(setting: str) -> str:
    return setting.partition("=")[0]


def _find(name: str, location: str) -> tuple[str, Path]:
    """Returns the absolute path or glob of a local log, and the file or folder that contains it."""
    option = OPTIONS.get(name, f"--set {name}=...")
    if not location:
        raise FileNotFoundError(f"Expected a path for {option}. Received: an empty string")
    path = Path(location)
    is_glob = _WILDCARD.search(location) is not None
    if not (path.exists() or (is_glob and _matches(location))):
        raise FileNotFoundError(
            f"Expected {option} to be a file, a folder or a glob that matches one. Received: {location}"
        )
    if name == "previous_events":
        # Resolve the links of an output folder: all files must come from the same run.
        path = path.resolve()
    path = path.absolute()
    holder = path if path.exists() else Path(_WILDCARD.split(f"{path}", maxsplit=1)[0] + "x").parent
    return str(path), holder


def _find_serving_location(uri: str) -> str:
    """Returns a serving location with an absolute path, after it was listed.

    Raises:
        OSError: it cannot be listed, or a version in it cannot be read.
        ValueError: the address is none of a serving location.
    """
    from components.core.serving.location import list_versions

    uri = uri if "://" in uri else str(Path(uri).absolute())
    list_versions(uri)
    return uri


def _matches(glob: str) -> bool:
    from components.core.logs.files import find_files

    try:
        return bool(find_files(glob))
    except FileNotFoundError:
        return False
