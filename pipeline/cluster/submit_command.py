"""The command that runs a pipeline on a cluster. It only parses options."""

import sys
from typing import Any

import click

from pipeline.cluster.connection import add_connection_options, start_run
from pipeline.cluster.follow_command import add_follow_options, follow_run
from pipeline.cluster.options import (
    add_options,
    add_submission_options,
    make_pipeline_setting,
    make_submission,
    parse_parameters,
)
from pipeline.cluster.submission import check_run_name, make_run_name
from pipeline.exit_codes import ExitCode
from pipeline.report import say


@click.command("submit")
@add_options(make_pipeline_setting("training"))
@click.option(
    "--run-name", default="", help="Name of the run. An existing run of that name is followed instead of started again."
)
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait until the run ends.")
@add_follow_options
@add_submission_options
@add_connection_options
def submit_command(
    run_name: str,
    follow: bool,
    timeout_hours: float,
    pending_minutes: float,
    cancel_pending: bool,
    **options: Any,
) -> None:
    """Runs a pipeline on a cluster and follows it.

    Exit codes: 0 success, 1 the run could not be started or the cluster refused to show it, 2 usage error, 3 a task
    failed, 4 the run was cancelled, 5 the run continues after --timeout-hours, 6 a pod did not start within
    --pending-minutes, 130 interrupted; the run continues.
    """
    submission = make_submission(options, parse_parameters(options))
    name = check_run_name(run_name) if run_name else make_run_name(submission)
    try:
        run = start_run(submission, name, options)
    except KeyboardInterrupt:
        click.echo(
            f"two-tower: interrupted. To start the run, or to follow it if it was started, add --run-name {name}",
            err=True,
        )
        sys.exit(ExitCode.INTERRUPTED)
    say(run.url)
    if follow:
        sys.exit(
            follow_run(
                run,
                options,
                timeout_hours=timeout_hours,
                pending_minutes=pending_minutes,
                cancel_pending=cancel_pending,
            )
        )
