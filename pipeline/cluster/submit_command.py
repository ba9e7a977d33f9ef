"""The command that runs a pipeline on a cluster. Parsing only."""

import sys
from typing import Any

import click
from rich.console import Console

from pipeline.cluster.options import CONNECTION_OPTIONS, SUBMISSION_OPTIONS, add_options, make_submission, started_run
from pipeline.cluster.submission import EXIT_CODES, TIMEOUT_CODE, TaskState
from pipeline.compilation import PIPELINES


def print_task(task: TaskState) -> None:
    """Prints that a task entered a state."""
    style = {"SUCCEEDED": "green", "FAILED": "red", "RUNNING": "cyan"}.get(task.state, "")
    Console().print(f"{task.name:<20} [{style or 'dim'}]{task.state:<10}[/] {task.seconds:6.0f} s", highlight=False)


@click.command("submit")
@click.option("--pipeline", type=click.Choice(list(PIPELINES)), default="training", show_default=True)
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait for the end of the run.")
@click.option("--timeout-hours", default=24.0, show_default=True, help="How long to wait.")
@add_options(SUBMISSION_OPTIONS)
@add_options(CONNECTION_OPTIONS)
def submit_command(pipeline: str, follow: bool, timeout_hours: float, **options: Any) -> None:
    """Runs a pipeline on a cluster and follows it.

    The exit code is 0 when it succeeded, 2 when it failed, 3 when it was cancelled, 4 when it goes on after
    --timeout-hours and 1 when it could not be started.
    """
    with started_run(make_submission(pipeline, options), options) as run:
        click.echo(run.url)
        if not follow:
            return
        try:
            state = run.follow(print_task, timeout_seconds=timeout_hours * 3600)
        except TimeoutError as error:
            click.echo(f"two-tower: {error}", err=True)
            sys.exit(TIMEOUT_CODE)
        if state == "FAILED":
            click.echo(f"two-tower: {run.get_error()}", err=True)
    click.echo(f"{state} {run.url}")
    sys.exit(EXIT_CODES[state])
