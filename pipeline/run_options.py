"""What `two-tower run` runs: a pipeline and its arguments, out of the options of the command line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline import presets
from pipeline.retraining import make_retraining_pipeline
from pipeline.settings import parse_settings
from pipeline.tasks import Tasks
from pipeline.training import make_training_pipeline

SPLIT_OPTIONS = {"train_path": "--train", "valid_path": "--valid", "test_path": "--test"}
# Parameters of the pipelines that have an option of their own.
OPTIONS = {**SPLIT_OPTIONS, "log_path": "--events", "as_of": "--as-of"}

_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, kw_only=True)
class LocalRun:
    """A run on this machine.

    Attributes:
        pipeline: the pipeline.
        arguments: its parameters; local paths among them are absolute and have been found.
        needs_sample_log: whether no log was named, so that the paths of a generated one are still to be added.
        inputs: the files and folders on this machine that the arguments name.
    """

    pipeline: Any
    arguments: dict[str, Any]
    needs_sample_log: bool
    inputs: tuple[Path, ...]


def make_local_run(options: Mapping[str, str | None], settings: tuple[str, ...], preset: str, tasks: Tasks) -> LocalRun:
    """Chooses the pipeline and its arguments; `--train PATH` and `--set train_path=PATH` mean the same.

    Args:
        options: values of the options of OPTIONS by the parameter's name, None where not given.
        settings: values of `--set`; they come before those of the preset.
        preset: name of the preset; empty for the one that suits the log.
        tasks: what is fixed for the tasks.

    Raises:
        click.UsageError: a value is given twice, or options do not go together.
        FileNotFoundError: a local file or folder is not there.
        ValueError: there is no such preset or parameter, or a value is of another type.
    """
    given = {name: value for name, value in options.items() if value is not None}
    _check_once(given, settings)
    settings += tuple(f"{name}={value}" for name, value in given.items())
    names = {_name(setting) for setting in settings}
    missing = [option for name, option in SPLIT_OPTIONS.items() if name not in names]
    is_raw = "log_path" in names
    if is_raw and len(missing) < 3:
        raise click.UsageError("Expected --events or --train, --valid and --test. Received: both")
    if "as_of" in names and not is_raw:
        raise click.UsageError("Expected --as-of together with --events. Received: --as-of alone")
    if 0 < len(missing) < 3:
        raise click.UsageError(f"Expected --train, --valid and --test together. Missing: {', '.join(missing)}")
    needs_sample_log = not is_raw and bool(missing)
    preset = preset or (presets.SAMPLE if needs_sample_log else presets.DEFAULT)
    pipeline = make_retraining_pipeline(tasks) if is_raw else make_training_pipeline(tasks)
    parameters = pipeline.component_spec.inputs
    arguments = presets.get_preset(preset)
    foreign = [name for name in arguments if name not in parameters]
    if foreign:
        raise click.UsageError(
            f"The preset {preset!r} does not go with {'--events' if is_raw else '--train, --valid and --test'}: "
            f"there is no {', '.join(foreign)} to set."
        )
    arguments.update(parse_settings(settings, parameters))
    inputs = []
    for name in ("train_path", "valid_path", "test_path", "log_path", "previous_events"):
        location = arguments.get(name)
        if location is None or "://" in location or (name == "previous_events" and not location):
            continue
        arguments[name], path = _find(name, location)
        inputs.append(path)
    return LocalRun(pipeline=pipeline, arguments=arguments, needs_sample_log=needs_sample_log, inputs=tuple(inputs))


def _check_once(given: Mapping[str, str], settings: tuple[str, ...]) -> None:
    seen = set()
    for setting in settings:
        name = _name(setting)
        if name in given:
            raise click.UsageError(f"Expected {OPTIONS[name]} or --set {name}=... Received: both")
        if name in seen:
            raise click.UsageError(f"Expected --set {name}=... once. Received: it twice")
        if name == "checkpoint_root":
            raise click.UsageError(
                "checkpoint_root is set by the run itself, to a folder in --output. Leave out --set checkpoint_root=..."
            )
        seen.add(name)


def _name(setting: str) -> str:
    return setting.partition("=")[0]


def _find(name: str, location: str) -> tuple[str, Path]:
    """The absolute location of a log on this machine, and the file or folder that holds it."""
    option = OPTIONS.get(name, f"--set {name}=...")
    if not location:
        raise FileNotFoundError(f"Expected a path for {option}. Received: an empty one")
    path = Path(location)
    is_glob = _WILDCARD.search(location) is not None
    if not (path.exists() or (is_glob and _matches(location))):
        raise FileNotFoundError(
            f"Expected {option} to be a file, a folder or a glob that matches one. Received: {location}"
        )
    if name == "previous_events":
        # Through the links of an output folder, whose next run must not come between two files of this one.
        path = path.resolve()
    path = path.absolute()
    holder = path if path.exists() else Path(_WILDCARD.split(f"{path}", maxsplit=1)[0] + "x").parent
    return str(path), holder


def _matches(glob: str) -> bool:
    from components.core.logs.files import find_files

    try:
        return bool(find_files(glob))
    except FileNotFoundError:
        return False
