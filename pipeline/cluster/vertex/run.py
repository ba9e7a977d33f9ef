"""A run on Vertex AI Pipelines."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.cluster.deadline import Deadline
from pipeline.cluster.run import CACHED, CANCELED, NOT_STARTED, SKIPPED, Cause, ListedRun, Snapshot, TaskState
from pipeline.cluster.submission import ClusterError
from pipeline.cluster.vertex.client import explain_errors

# Time limit of one look at a run.
LOOK_SECONDS = 60.0
# The states of a job, with KFP's names.
_STATES = {
    "PIPELINE_STATE_SUCCEEDED": "SUCCEEDED",
    "PIPELINE_STATE_FAILED": "FAILED",
    "PIPELINE_STATE_CANCELLED": "CANCELED",
    "PIPELINE_STATE_CANCELLING": "CANCELING",
    "PIPELINE_STATE_RUNNING": "RUNNING",
    "PIPELINE_STATE_PAUSED": "PAUSED",
}
# The states of a task that have another name here; Vertex calls a task skipped if its result is in the cache.
_TASK_STATES = {
    "STATE_UNSPECIFIED": NOT_STARTED,
    "SKIPPED": CACHED,
    "NOT_TRIGGERED": SKIPPED,
    "CANCEL_PENDING": "RUNNING",
    "CANCELLING": "RUNNING",
    "CANCELLED": CANCELED,
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A pipeline job; see `pipeline.cluster.run.Run`.

    Attributes:
        job: a submitted PipelineJob of google-cloud-aiplatform.
    """

    job: Any

    @property
    def id(self) -> str:
        """The id of the job, which is the name of the run."""
        return str(self.job.resource_name).rpartition("/")[2]

    @property
    def url(self) -> str:
        """URL of the run in the console."""
        return str(self.job._dashboard_uri())

    def look(self) -> Snapshot:
        """Returns the current state of the run and its tasks."""
        with explain_errors():
            # This calls the service; the code below reads its answer.
            state = Deadline(LOOK_SECONDS).call(lambda: self.job.state.name)
        answer = self.job.gca_resource
        return Snapshot(
            state=_STATES.get(state, "PENDING"),
            tasks=read_tasks(answer.job_detail.task_details),
            message=str(answer.error.message),
        )

    def explain(self, task: TaskState) -> Cause:
        """Returns why a task has failed."""
        return task.cause or Cause(kind="unknown", text="Vertex gives no reason")

    def read_log(self, log_id: str) -> str:
        """Says where the log is.

        Raises:
            ClusterError: always; Vertex does not return logs.
        """
        raise ClusterError(
            "Vertex keeps logs in Cloud Logging: gcloud logging read "
            f"'resource.labels.job_id=\"{log_id}\"' --project {self.job.project}"
        )

    def cancel(self) -> None:
        """Ends the run."""
        with explain_errors():
            Deadline(LOOK_SECONDS).call(self.job.cancel)

    def retry(self) -> None:
        """Refuses.

        Raises:
            ClusterError: always; Vertex cannot retry a run.
        """
        raise ClusterError(
            "Vertex cannot retry a run. Submit it again: the tasks that succeeded are served from the cache"
        )

    def describe(self) -> dict[str, Any]:
        """Returns the run's name, start and parameters."""
        job = self.job.gca_resource
        return {
            "name": job.display_name,
            "created": f"{job.create_time:%Y-%m-%d %H:%M:%S %Z}",
            "parameters": dict(job.runtime_config.parameter_values),
        }


def read_listed(job: Any) -> ListedRun:
    """Describes a job of a list."""
    resource = job.gca_resource
    end = resource.end_time or datetime.now(tz=UTC)
    return ListedRun(
        id=str(resource.name).rpartition("/")[2],
        name=str(resource.display_name),
        state=_STATES.get(resource.state.name, "PENDING"),
        created=resource.create_time,
        seconds=max(0.0, (end - resource.create_time).total_seconds()),
    )


def read_tasks(details: Any) -> tuple[TaskState, ...]:
    """Reads the tasks that contain no others, by the time at which they were created."""
    by_id = {detail.task_id: detail for detail in details}
    groups = {detail.parent_task_id for detail in details}
    tasks = []
    for detail in sorted(details, key=lambda detail: (detail.create_time or datetime.now(tz=UTC), detail.task_id)):
        if detail.task_id in groups:
            continue
        names = [detail.task_name]
        parent = by_id.get(detail.parent_task_id)
        while parent and parent.parent_task_id:  # the outermost group is the pipeline itself
            names.insert(0, parent.task_name)
            parent = by_id.get(parent.parent_task_id)
        message = str(detail.error.message)
        tasks.append(
            TaskState(
                name=" / ".join(names),
                state=_TASK_STATES.get(detail.state.name, detail.state.name),
                seconds=_measure_seconds(detail),
                cause=Cause(kind="unknown", text=message) if message else None,
                log_id=detail.executor_detail.container_detail.main_job.rpartition("/")[2],
            )
        )
    return tuple(tasks)


def _measure_seconds(task: Any) -> float:
    if not task.start_time:
        return 0.0
    end = task.end_time or datetime.now(tz=UTC)
    return float((end - task.start_time).total_seconds())
