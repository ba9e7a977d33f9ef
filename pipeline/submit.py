"""Runs on a Kubeflow Pipelines cluster: uploading what was compiled, starting it, following it."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import kfp_server_api

from components.image import SOURCE_VERSION
from pipeline.client import Client, list_all, quiet
from pipeline.compilation import compile_pipeline
from pipeline.settings import check_parameters
from pipeline.tasks import Tasks

# Exit codes of the command line, by the state in which a run ended; a run past its time limit has TIMEOUT_CODE.
EXIT_CODES = {"SUCCEEDED": 0, "FAILED": 2, "CANCELED": 3, "SKIPPED": 0}
TIMEOUT_CODE = 4


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is to run, and how.

    Attributes:
        pipeline: key of `pipeline.compilation.PIPELINES`.
        tasks: what is fixed when compiling.
        parameters: values of the pipeline's parameters.
        experiment: what the runs are grouped by.
        service_account: Kubernetes service account of the pods; empty for the cluster's default.
        pipeline_root: where the artifacts go, as a URI; empty for the cluster's default.

    Raises:
        ValueError: the pipeline is none, or has other parameters.
    """

    pipeline: str
    tasks: Tasks
    parameters: Mapping[str, Any] = field(default_factory=dict)
    experiment: str = "two-tower"
    service_account: str = ""
    pipeline_root: str = ""

    def __post_init__(self) -> None:
        check_parameters(self.parameters, compile_pipeline(self.pipeline, self.tasks).inputs)


@dataclass(frozen=True, kw_only=True)
class Version:
    """A compiled pipeline as the cluster knows it, or will: without ids it is not there yet."""

    pipeline_name: str
    name: str
    pipeline_id: str = ""
    version_id: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskState:
    """Where a task of a run stands; `seconds` since it started, until it ended."""

    name: str
    state: str
    seconds: float


def prepare_version(client: Client, submission: Submission, *, upload: bool = True) -> Version:
    """Finds or uploads the version of the pipeline that was compiled from these sources with these settings.

    It is named by both, so the same submission never makes a second version.

    Args:
        client: from `connect`.
        submission: what is to run.
        upload: whether to upload what is not there.
    """
    pipeline = compile_pipeline(submission.pipeline, submission.tasks)
    name = f"{SOURCE_VERSION}-{pipeline.content_hash}"
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "pipeline.yaml"
        path.write_text(pipeline.text)
        pipeline_id = client.get_pipeline_id(pipeline.name)
        if not pipeline_id:
            if not upload:
                return Version(pipeline_name=pipeline.name, name=name)
            body = kfp_server_api.V2beta1Pipeline(
                display_name=pipeline.name,
                description=pipeline.description,
                namespace=client.get_user_namespace() or None,
            )
            pipeline_id = client.pipelines.pipeline_service_create_pipeline(pipeline=body).pipeline_id
        versions = list_all(client.list_pipeline_versions, "pipeline_versions", pipeline_id=pipeline_id)
        version_id = next((item.pipeline_version_id for item in versions if item.display_name == name), "")
        if not version_id and upload:
            uploaded = client.upload_pipeline_version(str(path), name, pipeline_id=pipeline_id)
            version_id = uploaded.pipeline_version_id
    return Version(pipeline_name=pipeline.name, name=name, pipeline_id=pipeline_id, version_id=version_id)


def get_experiment_id(client: Client, name: str) -> str:
    """Finds or makes the experiment of that name in the client's namespace."""
    with quiet():
        return str(client.create_experiment(name).experiment_id)


def start_run(client: Client, submission: Submission) -> str:
    """Starts a run and gives its id."""
    version = prepare_version(client, submission)
    experiment_id = get_experiment_id(client, submission.experiment)
    with quiet():
        run = client.run_pipeline(
            experiment_id,
            f"{version.pipeline_name} {datetime.now(tz=timezone.utc):%Y-%m-%d %H:%M:%S}",
            params=dict(submission.parameters),
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            pipeline_root=submission.pipeline_root or None,
            service_account=submission.service_account or None,
        )
    return str(run.run_id)


def follow_run(
    client: Client,
    run_id: str,
    report: Callable[[TaskState], None],
    *,
    timeout_seconds: float,
    poll_seconds: float = 5.0,
) -> str:
    """Waits for the end of a run.

    Args:
        client: from `connect`.
        run_id: the run.
        report: called whenever a task enters another state.
        timeout_seconds: how long to wait; the run itself goes on.
        poll_seconds: pause between two looks.

    Returns:
        SUCCEEDED, FAILED, CANCELED or SKIPPED.

    Raises:
        TimeoutError: the run has not ended in time.
    """
    deadline = time.monotonic() + timeout_seconds
    states: dict[str, str] = {}
    while True:
        run = client.runs.run_service_get_run(run_id=run_id, _request_timeout=30)
        for task in (run.run_details.task_details if run.run_details else None) or []:
            if task.state and states.get(task.task_id) != task.state:
                states[task.task_id] = task.state
                report(TaskState(name=task.display_name, state=task.state, seconds=_measure_seconds(task)))
        if run.state in EXIT_CODES:
            return str(run.state)
        if time.monotonic() >= deadline:
            raise TimeoutError(f"Expected the run to end within {timeout_seconds:.0f} s. Received: {run.state}")
        time.sleep(poll_seconds)


def get_error(client: Client, run_id: str) -> str:
    """Gives what a run that failed says about it; empty if nothing."""
    run = client.get_run(run_id)
    messages = [run.error.message] if run.error else []
    for task in (run.run_details.task_details if run.run_details else None) or []:
        if task.error:
            messages.append(f"{task.display_name}: {task.error.message}")
    return "; ".join(str(message) for message in messages)


def _measure_seconds(task: Any) -> float:
    if not task.start_time:
        return 0.0
    # A task that has not ended carries the beginning of time.
    ended = task.end_time and task.end_time >= task.start_time
    end = task.end_time if ended else datetime.now(tz=task.start_time.tzinfo)
    return float((end - task.start_time).total_seconds())
