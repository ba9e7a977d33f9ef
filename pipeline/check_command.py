"""The command that reads, checks and splits a log without training a model."""

import contextlib
import inspect
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from components.core.logs.layout_table import LAYOUTS
from components.ingest.component import ingest as ingest_component
from components.sessionize.component import sessionize as sessionize_component
from pipeline.graph_parameters import ALL_COMPONENTS
from pipeline.layout_settings import LAYOUT_HELP, get_layout_settings
from pipeline.output_folder import check_outside
from pipeline.report import print_findings, print_funnel, print_splits, say
from pipeline.run_options import SPLIT_OPTIONS, check_once
from pipeline.settings import parse_settings


@click.command("check")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--layout", type=click.Choice(list(LAYOUTS)), metavar="NAME", help=LAYOUT_HELP)
@click.option("--as-of", metavar="DATE", help="End of the time window of a raw log. [default: the newest event]")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a parameter; repeatable.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="New or empty folder for the events and the rejected lines.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the data report as JSON.")
def check_command(
    paths: tuple[str, ...],
    layout: str | None,
    as_of: str | None,
    settings: tuple[str, ...],
    keep: Path | None,
    as_json: bool,
) -> None:
    """Reads, checks and splits a log as `run` does, prints what became of its lines, and stops.

    One PATH is a raw event log; three are the logs of the training, validation and test sessions.

    Exit codes: 0 the log is accepted, 1 it is refused, 2 usage error.
    """
    if len(paths) not in (1, 3):
        raise click.UsageError(
            f"Expected one raw log, or three logs: train, valid and test. Received: {len(paths)} paths"
        )
    if keep and keep.exists() and any(keep.iterdir()):
        raise click.UsageError(f"Expected --keep to be a new or empty folder. Received: {keep}, which is not empty")
    if keep:
        check_outside(keep, paths)
    component = sessionize_component if len(paths) == 1 else ingest_component
    arguments = _make_arguments(component, layout or "", as_of, settings)
    with tempfile.TemporaryDirectory(prefix="two-tower-check-") as folder:
        events_dir = keep.absolute() if keep else Path(folder) / "events"
        try:
            with contextlib.redirect_stdout(sys.stderr):  # where the step says how far it is
                document = _read(paths, events_dir, arguments)
        except ValueError as error:
            # With a cause, the message names a file of rejected lines, here in the temporary folder.
            if keep is None and error.__cause__ is not None and events_dir.exists():
                raise ValueError(f"{error.__cause__}. Add --keep DIR to keep all rejected lines") from error
            raise
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    console = Console()
    print_funnel(document, console)
    print_splits(document, console)
    print_findings(document, console)
    if keep:
        say(f"The events are in {keep}.")


def _make_arguments(component: Any, layout: str, as_of: str | None, settings: tuple[str, ...]) -> dict[str, Any]:
    """Returns the values of the component's parameters, except the paths of the logs.

    Raises:
        click.UsageError: a parameter is given twice or belongs to another component, or the layout cannot be used.
        ValueError: a parameter is unknown, or its value has the wrong type.
    """
    paths = ("log_path", *SPLIT_OPTIONS)
    inputs = {name: spec for name, spec in component.component_spec.inputs.items() if name not in paths}
    given = {} if as_of is None else {"as_of": as_of}
    check_once(given, settings)
    settings += tuple(f"{name}={value}" for name, value in given.items())
    for name in (setting.partition("=")[0] for setting in settings):
        others = [each.name for each in ALL_COMPONENTS if name in each.component_spec.inputs]
        if name in paths:
            raise click.UsageError(f"Expected the paths of the logs as arguments. Received: --set {name}=...")
        if name not in inputs and others:
            raise click.UsageError(
                f"Expected a parameter of {component.name}, the only step that check runs on these paths. "
                f"Received: {name}, a parameter of {' and '.join(others)}"
            )
    try:
        arguments = get_layout_settings(layout, component.component_spec.inputs)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    owners = {name: f"the step {each.name}" for each in ALL_COMPONENTS for name in each.component_spec.inputs}
    signature = inspect.signature(component.python_func).parameters
    defaults = {
        name: signature[name].default for name in inputs if signature[name].default is not inspect.Parameter.empty
    }
    return {**defaults, **arguments, **parse_settings(settings, inputs, owners)}


def _read(paths: tuple[str, ...], events_dir: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Runs the step that reads one raw log or three split logs, in this process; returns the data report."""
    from components.core.events import SPLITS
    from components.core.parameters import make_parameters

    if len(paths) == 1:
        from components.sessionize.step import SessionizeParameters, sessionize

        report = sessionize(paths[0], events_dir, make_parameters(SessionizeParameters, arguments))
    else:
        from components.ingest.step import IngestParameters, ingest

        sources = dict(zip(SPLITS, paths, strict=True))
        report = ingest(sources, events_dir, make_parameters(IngestParameters, arguments))
    return asdict(report)
