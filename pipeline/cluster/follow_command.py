"""What the commands that follow a run share: their options, what they print, and how they end."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from pipeline.cluster.connection import make_command
from pipeline.cluster.following import Follower, PendingError
from pipeline.cluster.progress import open_view
from pipeline.cluster.run import EXIT_CODES, FAILED, Run, Snapshot, TaskState
from pipeline.cluster.submission import ClusterError
from pipeline.exit_codes import ExitCode
from pipeline.report import say

_OPTIONS = (
    click.option(
        "--timeout-hours", default=24.0, show_default=True, help="Maximum wait; the run itself continues after it."
    ),
    click.option(
        "--pending-minutes",
        default=10.0,
        show_default=True,
        help="kfp: maximum time that a pod may wait for its start; the run itself continues after it.",
    ),
    click.option("--cancel-pending", is_flag=True, help="kfp: end the run after --pending-minutes."),
)


def add_follow_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of following a run to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def follow_run(
    run: Run,
    options: dict[str, Any],
    *,
    timeout_hours: float,
    pending_minutes: float,
    cancel_pending: bool,
) -> ExitCode:
    """Follows a run, prints its progress and how it has ended.

    Args:
        run: the run.
        options: values of the options of a connection, for the commands that are printed.
        timeout_hours: maximum wait for the end of the run.
        pending_minutes: maximum time that a pod may wait for its start.
        cancel_pending: whether to end a run whose pod has not started in that time.

    Returns:
        The exit code of the command.

    Raises:
        ClusterError: the cluster refuses to show the run; the message says how to follow it again.
    """
    again = make_command(["runs", "follow", run.id], options)
    try:
        with open_view() as view:
            snapshot = Follower(
                run=run, view=view, timeout_seconds=timeout_hours * 3600, pending_seconds=pending_minutes * 60
            ).follow()
    except KeyboardInterrupt:
        _say(f"interrupted. The run continues; to follow it again: {again}")
        return ExitCode.INTERRUPTED
    except TimeoutError as error:
        _say(f"{error}. The run continues; to follow it again: {again}")
        return ExitCode.TIMED_OUT
    except PendingError as error:
        cause = error.task.cause
        _say(f"{error}{f': {cause.text}' if cause else ''}")
        if cancel_pending:
            run.cancel()
            _say("the run was cancelled (--cancel-pending)")
        else:
            _say(f"the run continues; to follow it again: {again}")
            _say(f"to end it: {make_command(['runs', 'cancel', run.id], options)}")
        return ExitCode.PENDING
    except ClusterError as error:
        raise ClusterError(f"{error}. The run continues; to follow it again: {again}") from error
    if snapshot.state == "FAILED":
        print_failures(run, snapshot, options)
    say(f"{snapshot.state} {run.url}")
    return EXIT_CODES[snapshot.state]


def print_failures(run: Run, snapshot: Snapshot, options: dict[str, Any]) -> None:
    """Prints why a run has failed, and the commands that show the logs."""
    failed = _list_failed(snapshot.tasks)
    for task in failed:
        _say(f"{task.name} failed in attempt {task.attempt}: {task.cause.text if task.cause else 'no reason is known'}")
    for task in failed:
        if task.log_id:
            _say(f"the whole log: {make_command(['runs', 'logs', run.id, task.name], options)}")
    if not failed:
        _say(f"the run failed: {snapshot.message or 'the cluster gives no reason; its page may show one'}")


def _list_failed(tasks: Sequence[TaskState]) -> list[TaskState]:
    return [task for task in tasks if task.state == FAILED]


def _say(text: str) -> None:
    say(f"two-tower: {text}", err=True)
