"""The commands for runs on a cluster. They only parse options and print."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import click

from pipeline.cluster.connection import add_connection_options, find_run, list_runs, make_command
from pipeline.cluster.follow_command import add_follow_options, follow_run, print_failures
from pipeline.cluster.following import explain_task
from pipeline.cluster.progress import print_tasks
from pipeline.cluster.run import FAILED, NOT_STARTED, RETRYING, RUNNING, TaskState, find_tasks
from pipeline.cluster.submission import ClusterError, Submission
from pipeline.report import escape, print_log, say

_EXPERIMENT = click.option(
    "--experiment",
    default=Submission.experiment,
    show_default=True,
    help='kfp: experiment of the run; "" for all. Not needed with a whole id.',
)


@click.group("runs")
def runs_command() -> None:
    """Lists, shows, follows, cancels and retries runs on a cluster, and prints their logs.

    RUN is a run's id or name, the beginning of one of them, or `latest`.
    """


def _add_run(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("run")(_EXPERIMENT(add_connection_options(command)))


@runs_command.command("list")
@click.option("--limit", default=20, show_default=True, help="Maximum number of runs.")
@_EXPERIMENT
@add_connection_options
def list_command(limit: int, experiment: str, **options: Any) -> None:
    """Lists runs, newest first."""
    runs = list_runs(experiment, limit, options)
    # Not a table of Rich, which would break ids in a pipe.
    names = [escape(run.name) for run in runs]
    width = max(map(len, ["name", *names]))
    say(f"{'name':<{width}}  state      started (UTC)     minutes  id")
    for name, run in zip(names, runs, strict=True):
        state, run_id = escape(run.state), escape(run.id)
        say(f"{name:<{width}}  {state:<9}  {run.created:%Y-%m-%d %H:%M}  {run.seconds / 60:7.1f}  {run_id}")


@runs_command.command("show")
@_add_run
def show_command(run: str, experiment: str, **options: Any) -> None:
    """Shows a run: its parameters, the states of its tasks and, if it failed, the cause."""
    found = find_run(run, experiment, options)
    for name, value in found.describe().items():
        if isinstance(value, dict):
            say(f"{name}:")
            for key in sorted(value):
                say(f"  {escape(f'{key}: {value[key]}')}")
        elif value:
            say(f"{name}: {escape(str(value))}")
    snapshot = found.look()
    tasks = tuple(explain_task(found, task) for task in snapshot.tasks)
    print_tasks(tasks)
    if snapshot.state == "FAILED":
        print_failures(found, dataclasses.replace(snapshot, tasks=tasks), options)
    say(f"{snapshot.state} {found.url}")


@runs_command.command("follow")
@_add_run
@add_follow_options
def follow_command(
    run: str,
    experiment: str,
    timeout_hours: float,
    pending_minutes: float,
    cancel_pending: bool,
    **options: Any,
) -> None:
    """Follows a run to its end, with the exit codes of submit."""
    found = find_run(run, experiment, options)
    say(found.url)
    sys.exit(
        follow_run(
            found,
            options,
            timeout_hours=timeout_hours,
            pending_minutes=pending_minutes,
            cancel_pending=cancel_pending,
        )
    )


@runs_command.command("logs")
@_add_run
@click.argument("task", default="")
def logs_command(run: str, task: str, experiment: str, **options: Any) -> None:
    """Prints the whole log of a task's last attempt.

    Without TASK: of the task that failed or, if none did, of the tasks that run.
    """
    found = find_run(run, experiment, options)
    tasks = found.look().tasks
    for chosen in _choose(tasks, task):
        print_log(found.read_log(chosen.log_id), sys.stdout)


@runs_command.command("cancel")
@_add_run
def cancel_command(run: str, experiment: str, **options: Any) -> None:
    """Ends a run. Tasks that run are stopped."""
    found = find_run(run, experiment, options)
    found.cancel()
    say(f"cancelling {found.url}")


@runs_command.command("retry")
@_add_run
def retry_command(run: str, experiment: str, **options: Any) -> None:
    """Starts the failed tasks of an ended run again, and those after them; kfp only.

    The tasks run with the same image, resources and parameters. To change them, use submit, which runs all tasks
    anew.
    """
    found = find_run(run, experiment, options)
    found.retry()
    say(f"{found.url}\nto follow it: {make_command(['runs', 'follow', found.id], options)}")


def _choose(tasks: tuple[TaskState, ...], name: str) -> list[TaskState]:
    """Chooses the tasks whose logs are printed.

    Raises:
        ClusterError: no task of the name, or of the states, has a log.
    """
    started = [task for task in tasks if task.log_id and task.state != NOT_STARTED]
    if name:
        chosen = find_tasks(started, name)
    else:
        failed = [task for task in started if task.state in (FAILED, RETRYING)]
        chosen = failed or [task for task in started if task.state == RUNNING]
    if not chosen:
        names = ", ".join(task.name for task in started) or "none"
        raise ClusterError(f"Expected a task that has started, one of: {names}. Received: {name!r}")
    return chosen
