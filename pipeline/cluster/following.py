"""Follows a run on a cluster to its end, through times at which the cluster does not answer."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.cluster.run import EXIT_CODES, FAILED, PENDING, RETRYING, Cause, Run, Snapshot, TaskState
from pipeline.cluster.submission import ClusterError, NoLogError, UnreachableError

# How long a pod may wait before the reason is shown.
REASON_SECONDS = 20.0
POLL_SECONDS = 5.0  # between two looks at a run


class PendingError(Exception):
    """A pod has not started within its limit; the run continues."""

    def __init__(self, task: TaskState) -> None:
        self.task = task
        minutes = f"{task.attempt_seconds / 60:.0f}"
        super().__init__(f"{task.name} has not started for {minutes} minute{'' if minutes == '1' else 's'}")


class View(Protocol):
    """What shows the progress of a run."""

    def show(self, tasks: Sequence[TaskState]) -> None:
        """Shows the current states of all tasks."""

    def say(self, text: str) -> None:
        """Shows a sentence about the connection to the cluster."""


@dataclass(kw_only=True)
class Follower:
    """Follows a run.

    Attributes:
        run: the run.
        view: shows its progress.
        timeout_seconds: maximum wait for the end of the run; the run itself continues after it.
        pending_seconds: maximum time that a pod may wait for its start.
    """

    run: Run
    view: View
    timeout_seconds: float
    pending_seconds: float

    def follow(self) -> Snapshot:
        """Looks at the run until it ends.

        Returns:
            The last state. The causes of failed attempts are those of their logs.

        Raises:
            TimeoutError: the run has not ended in time.
            PendingError: a pod has not started in time.
            ClusterError: the cluster refuses to show the run.
        """
        end = time.monotonic() + self.timeout_seconds
        explained: dict[tuple[str, int], Cause] = {}
        away_since: float | None = None
        state = "unknown"
        while True:
            try:
                snapshot = self._look(explained)
            except UnreachableError as error:
                if away_since is None:
                    away_since = time.monotonic()
                    self.view.say(f"The cluster does not answer; the run continues, and so does this command. {error}")
            else:
                if away_since is not None:
                    self.view.say(f"The cluster answers again, after {time.monotonic() - away_since:.0f} s.")
                    away_since = None
                self.view.show(snapshot.tasks)
                state = snapshot.state
                if state in EXIT_CODES:
                    return snapshot
                self._check_pending(snapshot)
            if time.monotonic() >= end:
                away = "" if away_since is None else "; the cluster does not answer"
                raise TimeoutError(
                    f"Expected the run to end within {self.timeout_seconds:.0f} s. Received: {state}{away}"
                )
            time.sleep(POLL_SECONDS)

    def _look(self, explained: dict[tuple[str, int], Cause]) -> Snapshot:
        snapshot = self.run.look()
        return dataclasses.replace(snapshot, tasks=tuple(self._explain(task, explained) for task in snapshot.tasks))

    def _explain(self, task: TaskState, explained: dict[tuple[str, int], Cause]) -> TaskState:
        """Replaces the cause of a failed attempt by what its log says, read once for each attempt."""
        key = (task.name, task.attempt)
        if task.state in (FAILED, RETRYING) and task.cause and task.cause.is_in_log:
            if key not in explained:
                found = explain_task(self.run, task)
                if not found.log_id:
                    return found  # not kept: the log may be readable at the next look
                explained[key] = found.cause or task.cause
            return dataclasses.replace(task, cause=explained[key])
        if task.state == PENDING and task.attempt_seconds < REASON_SECONDS:
            return dataclasses.replace(task, cause=None)
        return task

    def _check_pending(self, snapshot: Snapshot) -> None:
        if snapshot.state == "CANCELING":
            return
        for task in snapshot.tasks:
            if task.state == PENDING and task.attempt_seconds >= self.pending_seconds:
                raise PendingError(task)


def explain_task(run: Run, task: TaskState) -> TaskState:
    """Replaces the cause of a failed attempt by what its log says, if it says more and can be read.

    Without a log, the cause says so, and the task has no `log_id`.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    if task.cause is None or not task.cause.is_in_log:
        return task
    try:
        return dataclasses.replace(task, cause=run.explain(task))
    except UnreachableError:
        raise
    except NoLogError:
        # KFP's launcher ends a task that it cannot read or write artifacts for, and then its log cannot be archived.
        text = f"{task.cause.text} and no log, as when the object store is away; if it was, `runs retry` goes on"
        return dataclasses.replace(task, cause=dataclasses.replace(task.cause, text=text), log_id="")
    except ClusterError:  # without the log, the cause is less exact
        return task
