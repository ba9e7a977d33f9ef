"""The commands that manage the schedules of a cluster. They only parse options."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cluster.connection import RETIRE_OPTION, add_connection_options, connected_schedules
from pipeline.cluster.options import (
    SCHEDULE_SETTINGS,
    add_options,
    add_submission_options,
    make_pipeline_setting,
    make_schedule,
    parse_parameters,
)
from pipeline.cluster.schedule import Schedule
from pipeline.cluster.schedule_file import read_schedules
from pipeline.compilation import SCHEDULED_PIPELINE
from pipeline.report import escape, say


@click.group("schedule", invoke_without_command=True)
@add_options(*SCHEDULE_SETTINGS, make_pipeline_setting(SCHEDULED_PIPELINE))
@click.option("--dry-run", is_flag=True, help="Print what would change.")
@RETIRE_OPTION
@add_submission_options
@add_connection_options
@click.pass_context
def schedule_command(context: click.Context, /, dry_run: bool, **options: Any) -> None:
    """Creates a schedule, or changes the one of that name: no catch-up, one run at a time.

    Without a subcommand, --cron is required.
    """
    if context.invoked_subcommand:
        given = [key for key in context.params if context.get_parameter_source(key) is ParameterSource.COMMANDLINE]
        if given:
            raise click.UsageError(
                f"Expected options after the subcommand {context.invoked_subcommand}. Received before it: "
                f"{', '.join(given)}"
            )
        return
    if not options["cron"]:
        raise click.UsageError('Expected --cron "MINUTE HOUR DAY MONTH WEEKDAY", or a subcommand. Received: neither')
    _apply([make_schedule(options, parse_parameters(options))], options, dry_run=dry_run, prune=False)


@schedule_command.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--prune", is_flag=True, help="Delete schedules of this tool that are not in the file.")
@click.option("--dry-run", is_flag=True, help="Print what would change.")
@RETIRE_OPTION
@add_connection_options
def apply_command(file: Path, prune: bool, dry_run: bool, **options: Any) -> None:
    """Applies a file of schedules, such as schedules.yaml, to the cluster."""
    _apply(read_schedules(file, options["target"]), options, dry_run=dry_run, prune=prune)


def _apply(wanted: list[Schedule], options: dict[str, Any], *, dry_run: bool, prune: bool) -> None:
    lines = []
    with connected_schedules(options) as schedules:
        for one in wanted:
            lines.extend(schedules.plan(one) if dry_run else schedules.apply(one))
        names = {one.name for one in wanted}
        others = [one for one in schedules.find() if one.name not in names] if prune else []
        lines.extend(f"- {one.name}: {one.id}" for one in others)
        for name in sorted({one.name for one in others}) if not dry_run else []:
            schedules.delete(name)
    say("\n".join(map(escape, lines)) or "nothing to change")


@schedule_command.command("list")
@add_connection_options
def list_command(**options: Any) -> None:
    """Lists the schedules of this tool."""
    table = Table("name", "when", "state", "id", box=None)
    with connected_schedules(options) as schedules:
        for one in schedules.find():
            table.add_row(*(Text(escape(cell)) for cell in (one.name, one.times, one.state, one.id)))
    Console().print(table)


@schedule_command.command("pause")
@click.argument("name")
@add_connection_options
def pause_command(name: str, **options: Any) -> None:
    """Pauses a schedule. A run in progress continues."""
    with connected_schedules(options) as schedules:
        schedules.set_enabled(name, enabled=False)


@schedule_command.command("resume")
@click.argument("name")
@add_connection_options
def resume_command(name: str, **options: Any) -> None:
    """Resumes a schedule, without catching up on missed runs."""
    with connected_schedules(options) as schedules:
        schedules.set_enabled(name, enabled=True)


@schedule_command.command("delete")
@click.argument("name")
@RETIRE_OPTION
@add_connection_options
def delete_command(name: str, **options: Any) -> None:
    """Deletes a schedule. A run in progress is not killed."""
    with connected_schedules(options) as schedules:
        schedules.delete(name)
