"""Starts, finds and lists runs on Vertex AI Pipelines."""

import tempfile
from pathlib import Path
from typing import Any

from pipeline.cluster.deadline import CallError, Deadline
from pipeline.cluster.run import ListedRun
from pipeline.cluster.submission import ClusterError, Submission, make_run_name
from pipeline.cluster.vertex.client import check_place, find_credentials
from pipeline.cluster.vertex.run import Run, read_listed
from pipeline.compilation import compile_pipeline

# The label with the hash of the compiled pipeline.
VERSION_LABEL = "two-tower-version"


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
            job_id=name or make_run_name(submission),
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
        job.submit(service_account=submission.service_account or None, create_request_timeout=deadline.client_timeout)

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


def get_run(
    name: str, *, project: str, location: str, credentials: Any = None, deadline: Deadline | None = None
) -> Run:
    """Finds the run of that name.

    Raises:
        ValueError: the project or the location is not given.
    """
    check_place(project, location)
    deadline = deadline or Deadline()
    credentials = credentials or deadline.call(find_credentials)
    from google.cloud import aiplatform

    place = {"project": project, "location": location, "credentials": credentials}
    return Run(job=deadline.call(lambda: aiplatform.PipelineJob.get(name, **place)))


def list_runs(
    *, limit: int, project: str, location: str, credentials: Any = None, deadline: Deadline | None = None
) -> list[ListedRun]:
    """Lists the runs of this tool, newest first.

    Raises:
        ValueError: the project or the location is not given.
    """
    check_place(project, location)
    deadline = deadline or Deadline()
    credentials = credentials or deadline.call(find_credentials)
    from google.cloud import aiplatform

    jobs = deadline.call(
        lambda: aiplatform.PipelineJob.list(
            filter=f"labels.{VERSION_LABEL}:*",
            order_by="create_time desc",
            project=project,
            location=location,
            credentials=credentials,
        )
    )
    return [read_listed(job) for job in jobs[:limit]]
