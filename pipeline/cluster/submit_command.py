"""The command that runs a pipeline on a cluster. It only parses options and prints progress."""

import sys
from typing import Any

import click
from rich.console import Console

from pipeline.cluster.connection import add_connection_options, started_run
from pipeline.cluster.options import (
    add_options,
    add_submission_options,
    make_pipeline_setting,
    make_submission,
    parse_parameters,
)
from pipeline.cluster.submission import EXIT_CODES, ClusterError, Run, TaskState, check_run_name, make_run_name
from pipeline.exit_codes import ExitCode


def print_task(task: TaskState) -> None:
    """Prints the new state of a task."""
    style = {"SUCCEEDED": "green", "FAILED": "red", "RUNNING": "cyan"}.get(task.state, "")
    Console().print(f"{task.name:<20} [{style or 'dim'}]{task.state:<10}[/] {task.seconds:6.0f} s", highlight=False)


@click.command("submit")
@add_options(make_pipeline_setting("training"))
@click.option(
    "--run-name", default="", help="Name of the run. An existing run of that name is followed instead of started again."
)
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait until the run ends.")
@click.option(
    "--timeout-hours", default=24.0, show_default=True, help="Maximum wait; the run itself continues after it."
)
@add_submission_options
@add_connection_options
def submit_command(run_name: str, follow: bool, timeout_hours: float, **options: Any) -> None:
    """Runs a pipeline on a cluster and follows it.

    Exit codes: 0 success, 1 the run could not be started or the cluster stopped answering, 2 usage error, 3 a task
    failed, 4 the run was cancelled, 5 the run continues after --timeout-hours, 130 interrupted; the run continues.
    """
    submission = make_submission(options, parse_parameters(options))
    name = check_run_name(run_name) if run_name else make_run_name(submission.pipeline_name)
    run: Run | None = None
    try:
        with started_run(submission, name, options) as run:
            click.echo(run.url)
            if not follow:
                return
            state = run.follow(print_task, timeout_seconds=timeout_hours * 3600)
            if state == "FAILED":
                click.echo(f"two-tower: {run.get_error() or 'A task failed; see its log.'}", err=True)
    except TimeoutError as error:
        click.echo(f"two-tower: {error}", err=True)
        sys.exit(ExitCode.TIMED_OUT)
    except KeyboardInterrupt:
        if run is not None:
            click.echo(
                f"two-tower: interrupted. The run continues; to follow it again, add --run-name {name}", err=True
            )
        sys.exit(ExitCode.INTERRUPTED)
    except ClusterError as error:
        if run is None:
            raise
        raise ClusterError(f"{error}. The run continues; to follow it again, add --run-name {name}") from error
    click.echo(f"{state} {run.url}")
    sys.exit(EXIT_CODES[state])
