"""Runs on Vertex AI Pipelines."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.cluster.submission import Submission, TaskState
from pipeline.cluster.vertex.client import check_place, find_credentials
from pipeline.compilation import compile_pipeline

# The label that names what was compiled.
VERSION_LABEL = "two-tower-version"
# The states in which a job ends, as KFP calls them.
_FINAL_STATES = {
    "PIPELINE_STATE_SUCCEEDED": "SUCCEEDED",
    "PIPELINE_STATE_FAILED": "FAILED",
    "PIPELINE_STATE_CANCELLED": "CANCELED",
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A pipeline job; see `pipeline.cluster.submission.Run`.

    Attributes:
        job: google-cloud-aiplatform's PipelineJob, submitted.
    """

    job: Any

    @property
    def url(self) -> str:
        """Its address in the console."""
        return str(self.job._dashboard_uri())

    def follow(self, report: Callable[[TaskState], None], *, timeout_seconds: float, poll_seconds: float = 15.0) -> str:
        """Waits for the end of the run, with a look every `poll_seconds`.

        Raises:
            TimeoutError: the run has not ended in time.
        """
        deadline = time.monotonic() + timeout_seconds
        states: dict[int, str] = {}
        while True:
            state = self.job.state.name  # asks the service; what follows reads the answer
            for task in self.job.gca_resource.job_detail.task_details:
                if states.get(task.task_id) != task.state.name:
                    states[task.task_id] = task.state.name
                    report(TaskState(name=task.task_name, state=task.state.name, seconds=_measure_seconds(task)))
            if state in _FINAL_STATES:
                return _FINAL_STATES[state]
            if time.monotonic() >= deadline:
                raise TimeoutError(f"Expected the run to end within {timeout_seconds:.0f} s. Received: {state}")
            time.sleep(poll_seconds)

    def get_error(self) -> str:
        """Gives what the job says about its failure."""
        return str(self.job.gca_resource.error.message)


def make_job(submission: Submission, *, project: str, location: str, credentials: Any = None) -> Any:
    """Makes google-cloud-aiplatform's PipelineJob of a submission, without sending it.

    Args:
        submission: what is to run.
        project: Google Cloud project.
        location: region.
        credentials: by default the application default credentials.

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
            job_id=f"{pipeline.name}-{datetime.now(tz=UTC):%Y%m%d%H%M%S}",
            pipeline_root=submission.pipeline_root,
            parameter_values=dict(submission.parameters),
            labels={VERSION_LABEL: pipeline.content_hash},
            project=project,
            location=location,
            credentials=credentials,
        )


def start_run(submission: Submission, *, project: str, location: str, credentials: Any = None) -> Run:
    """Starts a run.

    Args:
        submission: as for `make_job`.
        project: as for `make_job`.
        location: as for `make_job`.
        credentials: as for `make_job`.

    Raises:
        ValueError: the project or the location is not given.
    """
    job = make_job(submission, project=project, location=location, credentials=credentials)
    job.submit(service_account=submission.service_account or None)
    return Run(job=job)


def _measure_seconds(task: Any) -> float:
    if not task.start_time:
        return 0.0
    end = task.end_time or datetime.now(tz=UTC)
    return float((end - task.start_time).total_seconds())
