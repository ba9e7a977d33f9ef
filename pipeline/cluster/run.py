"""A run on a cluster: what a look at it finds, and the interface that all kinds of clusters have."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pipeline.exit_codes import ExitCode

# The final states of a run, with KFP's names, and the exit code of a command that followed the run.
EXIT_CODES = {
    "SUCCEEDED": ExitCode.DONE,
    "SKIPPED": ExitCode.DONE,
    "FAILED": ExitCode.FAILED,
    "CANCELED": ExitCode.CANCELLED,
}
# The states of a task. RETRYING: an attempt has failed, and the task has not.
NOT_STARTED, PENDING, RUNNING, RETRYING = "NOT_STARTED", "PENDING", "RUNNING", "RETRYING"
SUCCEEDED, CACHED, SKIPPED, FAILED, CANCELED = "SUCCEEDED", "CACHED", "SKIPPED", "FAILED", "CANCELED"


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a pod does not start, or why an attempt has failed.

    Attributes:
        kind: exception, memory, evicted, deadline, lost, image, missing, refused, room, starting or unknown.
        text: the reason and what to do, without the name of the task.
        is_in_log: whether the log of the attempt says more.
    """

    kind: str
    text: str
    is_in_log: bool = False


@dataclass(frozen=True, kw_only=True)
class TaskState:
    """The state of a task.

    Attributes:
        name: the task's name, after those of the groups that contain it: `passed / publish`.
        state: one of the states above.
        seconds: duration from its start to its end or, if it runs, until now.
        attempt: number of the current or last attempt, from 1.
        attempt_seconds: duration of that attempt; if its pod has not started, the time it has been waiting.
        cause: why its pod does not start or its last attempt has failed.
        log_id: identifies the log of the last attempt; empty if there is none.
    """

    name: str
    state: str
    seconds: float = 0.0
    attempt: int = 1
    attempt_seconds: float = 0.0
    cause: Cause | None = None
    log_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a look at a run finds.

    Attributes:
        state: a key of EXIT_CODES if the run has ended; otherwise PENDING, RUNNING, CANCELING or PAUSED.
        tasks: the tasks in the order of the pipeline.
        message: what the cluster says about the run as a whole.
    """

    state: str
    tasks: tuple[TaskState, ...] = ()
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    """An entry of a list of runs."""

    id: str
    name: str
    state: str
    created: datetime
    seconds: float


class Run(Protocol):
    """A run on a cluster. All methods raise ClusterError if the cluster refuses a request.

    UnreachableError, a kind of it, says that the cluster does not answer, and may answer later.
    """

    @property
    def id(self) -> str:
        """The run's id."""

    @property
    def url(self) -> str:
        """URL of the run in the web interface."""

    def look(self) -> Snapshot:
        """Returns the current state of the run and its tasks."""

    def explain(self, task: TaskState) -> Cause:
        """Returns why the last attempt of a task has failed. Unlike `look`, this reads the attempt's log."""

    def read_log(self, log_id: str) -> str:
        """Returns the whole log of an attempt."""

    def cancel(self) -> None:
        """Ends the run."""

    def retry(self) -> None:
        """Starts the failed tasks of an ended run again."""

    def describe(self) -> dict[str, Any]:
        """Returns the run's name, description, start and parameters, by the names under which they are shown."""


def find_tasks(tasks: Sequence[TaskState], name: str) -> list[TaskState]:
    """Finds the tasks of a name, with or without those of their groups."""
    return [task for task in tasks if name in (task.name, task.name.rpartition(" / ")[2])]
