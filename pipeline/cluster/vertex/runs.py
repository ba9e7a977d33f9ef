"""Runs on Vertex AI Pipelines."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.cluster.deadline import CallError, Deadline
from pipeline.cluster.submission import ClusterError, Submission, TaskState, make_run_name
from pipeline.cluster.vertex.client import check_place, find_credentials
from pipeline.compilation import compile_pipeline

# Time limit of one poll of a run.
LOOK_SECONDS = 60.0
# The label with the hash of the compiled pipeline.
VERSION_LABEL = "two-tower-version"
# The final states of a job, with KFP's names.
_FINAL_STATES = {
    "PIPELINE_STATE_SUCCEEDED": "SUCCEEDED",
    "PIPELINE_STATE_FAILED": "FAILED",
    "PIPELINE_STATE_CANCELLED": "CANCELED",
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A pipeline job; see `pipeline.cluster.submission.Run`.

    Attributes:
        job: a submitted PipelineJob of google-cloud-aiplatform.
    """

    job: Any

    @property
    def url(self) -> str:
        """URL of the run in the console."""
        return str(self.job._dashboard_uri())

    def follow(self, report: Callable[[TaskState], None], *, timeout_seconds: float, poll_seconds: float = 15.0) -> str:
        """Polls the run every `poll_seconds` until it ends.

        Raises:
            TimeoutError: the run has not ended in time.
        """
        end = time.monotonic() + timeout_seconds
        states: dict[int, str] = {}
        while True:
            # This calls the service; the code below reads its answer.
            state = Deadline(LOOK_SECONDS).call(lambda: self.job.state.name)
            for task in self.job.gca_resource.job_detail.task_details:
                if states.get(task.task_id) != task.state.name:
                    states[task.task_id] = task.state.name
                    report(TaskState(name=task.task_name, state=task.state.name, seconds=_measure_seconds(task)))
            if state in _FINAL_STATES:
                return _FINAL_STATES[state]
            if time.monotonic() >= end:
                raise TimeoutError(f"Expected the run to end within {timeout_seconds:.0f} s. Received: {state}")
            time.sleep(poll_seconds)

    def get_error(self) -> str:
        """Returns the error message of the job."""
        return str(self.job.gca_resource.error.message)


def make_job(submission: Submission, *, project: str, location: str, name: str = "", credentials: Any = None) -> Any:
    """Creates the PipelineJob of a submission, without sending it.

    Args:
        submission: what to run.
        project: Google Cloud project.
        location: region.
        name: name of the run, which is the id of the job; by default, a unique one.
        credentials: by default, the application default credentials.

    Raises:
        ValueError: the project or the location is not given.
    """
    check_place(project, location)
    credentials = credentials or find_credentials()
    from google.cloud import aiplatform

    pipeline = compile_pipeline(submission.pipeline, submission.tasks)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(pipeline.text)
        return aiplatform.PipelineJob(
            display_name=pipeline.name,
            template_path=str(path),
            job_id=name or make_run_name(pipeline.name),
            pipeline_root=submission.pipeline_root,
            parameter_values=dict(submission.parameters),
            labels={VERSION_LABEL: pipeline.content_hash},
            project=project,
            location=location,
            credentials=credentials,
        )


def start_run(
    submission: Submission,
    *,
    project: str,
    location: str,
    name: str = "",
    credentials: Any = None,
    deadline: Deadline | None = None,
) -> Run:
    """Starts a run, or finds the existing run of that name; Vertex keeps job ids unique.

    Args:
        submission: as for `make_job`.
        project: as for `make_job`.
        location: as for `make_job`.
        name: as for `make_job`.
        credentials: as for `make_job`.
        deadline: the deadline of all calls.

    Raises:
        ValueError: the project or the location is not given.
        ClusterError: it is unknown whether the run was started.
    """
    deadline = deadline or Deadline()
    place = {"project": project, "location": location}
    job = deadline.call(lambda: make_job(submission, name=name, credentials=credentials, **place))
    from google.api_core.exceptions import AlreadyExists, ServerError

    def submit() -> None:
        job.submit(service_account=submission.service_account or None, create_request_timeout=deadline.remaining)

    for is_last in (False, True):
        try:
            deadline.call(submit)
            break
        except AlreadyExists:
            job._gca_resource = deadline.call(lambda: job._get_gca_resource(resource_name=job.job_id))
            break
        except (ServerError, CallError) as error:
            if is_last or isinstance(error, CallError):
                raise ClusterError(
                    f"The start of the run {job.job_id} was not answered, so it is unknown whether it runs. Repeat the "
                    f"command with --run-name {job.job_id}: it starts the run only if there is none of that name. "
                    f"The last error: {error}"
                ) from error
    return Run(job=job)


def _measure_seconds(task: Any) -> float:
    if not task.start_time:
        return 0.0
    end = task.end_time or datetime.now(tz=UTC)
    return float((end - task.start_time).total_seconds())
