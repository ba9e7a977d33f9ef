"""The command line. Parsing only: what a command does stands in the modules beside this one."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pipeline import local, presets
from pipeline.report import print_metrics
from pipeline.retraining import make_retraining_pipeline
from pipeline.training import make_training_pipeline

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="two-tower")
def cli() -> None:
    """From session logs to a served two-tower retrieval model."""


@cli.command()
@click.option("--preset", default=None, help="sample, seed or retailrocket; sample if no log is given.")
@click.option("--train", "train_path", type=EXISTING_FILE, help="TSV of the training sessions.")
@click.option("--valid", "valid_path", type=EXISTING_FILE, help="TSV of the validation sessions.")
@click.option("--test", "test_path", type=EXISTING_FILE, help="TSV of the test sessions.")
@click.option("--events", "log_path", help="Raw event log instead: a file, folder or glob, local, s3:// or gs://.")
@click.option(
    "--as-of", default="", metavar="DATE", help="End of the window of --events; the newest event if not given."
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Sets a pipeline parameter.")
@click.option(
    "--output",
    "output_dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("output"),
    show_default=True,
    help="Folder for the artifacts.",
)
def run(
    preset: str | None,
    train_path: Path | None,
    valid_path: Path | None,
    test_path: Path | None,
    log_path: str | None,
    as_of: str,
    settings: tuple[str, ...],
    output_dir: Path,
) -> None:
    """Runs a pipeline on this machine: on a raw log, on three split ones, or without any on a generated one."""
    paths = {"train": train_path, "valid": valid_path, "test": test_path}
    missing = [f"--{split}" for split, path in paths.items() if path is None]
    if log_path and len(missing) < 3:
        raise click.UsageError("Expected --events or --train, --valid and --test. Received: both")
    if as_of and not log_path:
        raise click.UsageError("Expected --as-of together with --events. Received: --as-of alone")
    if 0 < len(missing) < 3:
        raise click.UsageError(f"Expected --train, --valid and --test together. Missing: {', '.join(missing)}")
    arguments = presets.get_preset(preset or ("sample" if missing and not log_path else "retailrocket"))
    pipeline = make_retraining_pipeline() if log_path else make_training_pipeline()
    arguments.update(parse_settings(settings, pipeline.component_spec.inputs))
    if log_path:
        location = log_path if "://" in log_path else str(Path(log_path).resolve())
        arguments.update({"log_path": location, "as_of": as_of})
    elif missing:
        from components.core.sample_log import SampleLog

        paths = dict(SampleLog().write(output_dir / "sample_log"))
    arguments.update({f"{split}_path": str(path.resolve()) for split, path in paths.items() if path})
    outputs = local.run_training(pipeline, arguments, output_dir)
    print_metrics(json.loads(outputs["metrics"].read_text()), Console())
    click.echo(f"The artifacts lie in {output_dir}.")


def parse_settings(settings: tuple[str, ...], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Turns NAME=VALUE into typed pipeline arguments.

    Args:
        settings: as given on the command line.
        inputs: the pipeline's inputs by name, as its component spec has them.

    Raises:
        ValueError: there is no such parameter, or the value is not of its type.
    """
    parsers: dict[str, Callable[[str], Any]] = {
        "String": str,
        "Integer": int,
        "Float": float,
        "Boolean": _parse_bool,
    }
    parsed: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in inputs:
            raise ValueError(f"Expected NAME=VALUE with one of the names {', '.join(inputs)}. Received: {setting}")
        kind = inputs[name].type
        try:
            parsed[name] = parsers[kind](value) if kind in parsers else _parse_list(value, inputs[name].default)
        except ValueError as error:
            raise ValueError(f"Expected {name} to be of the type {kind}. Received: {value!r}") from error
    return parsed


def _parse_bool(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError as error:
        raise ValueError(text) from error


def _parse_list(text: str, default: list[Any]) -> list[Any]:
    """Parts of the type that the default's have; text where it has none."""
    kind = type(default[0]) if default else str
    return [kind(part) for part in text.split(",")]


@cli.command()
@click.option("--index", "index_dir", type=click.Path(path_type=Path), required=True, help="The exported index.")
@click.option("--session", required=True, metavar="ID,ID,...", help="Item ids of the session, from the oldest.")
@click.option("-k", default=10, show_default=True, help="How many items.")
@click.option("--exclude-seen", is_flag=True, help="Leave out what the session holds.")
def recommend(index_dir: Path, session: str, k: int, exclude_seen: bool) -> None:
    """Prints the best items for a session, an item and its score a line."""
    from components.core import index

    for item_id, score in index.recommend(index_dir, session.split(","), k=k, exclude_seen=exclude_seen):
        click.echo(f"{item_id}\t{score:.6f}")


def main() -> None:
    """Runs the command line; what a user can mend ends in one line and the exit code 1."""
    try:
        cli()
    except (ValueError, FileNotFoundError, local.RunError) as error:
        click.echo(f"two-tower: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
