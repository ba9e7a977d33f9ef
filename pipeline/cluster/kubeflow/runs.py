"""Runs on a Kubeflow Pipelines cluster: uploading what was compiled, starting it, following it."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfp_server_api

from components.image import SOURCE_VERSION
from pipeline.cluster.kubeflow.client import Client, list_all, make_run_url, quiet
from pipeline.cluster.submission import EXIT_CODES, Submission, TaskState
from pipeline.compilation import compile_pipeline


@dataclass(frozen=True, kw_only=True)
class Version:
    """A compiled pipeline as the cluster knows it, or will: without ids it is not there yet."""

    pipeline_name: str
    name: str
    pipeline_id: str = ""
    version_id: str = ""


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


def start_run(client: Client, submission: Submission, *, host: str = "") -> "Run":
    """Starts a run.

    Args:
        client: from `connect`.
        submission: what is to run.
        host: of the API, for the run's address.
    """
    version = prepare_version(client, submission)
    experiment_id = get_experiment_id(client, submission.experiment)
    with quiet():
        run = client.run_pipeline(
            experiment_id,
            f"{version.pipeline_name} {datetime.now(tz=UTC):%Y-%m-%d %H:%M:%S}",
            params=dict(submission.parameters),
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            pipeline_root=submission.pipeline_root or None,
            service_account=submission.service_account or None,
        )
    return Run(client=client, run_id=str(run.run_id), url=make_run_url(host, str(run.run_id)))


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that was started; see `pipeline.cluster.submission.Run`."""

    client: Client
    run_id: str
    url: str

    def follow(self, report: Callable[[TaskState], None], *, timeout_seconds: float, poll_seconds: float = 5.0) -> str:
        """Waits for the end of the run, with a look every `poll_seconds`.

        Raises:
            TimeoutError: the run has not ended in time.
        """
        deadline = time.monotonic() + timeout_seconds
        states: dict[str, str] = {}
        while True:
            run = self.client.runs.run_service_get_run(run_id=self.run_id, _request_timeout=30)
            for task in _list_tasks(run):
                if task.state and states.get(task.task_id) != task.state:
                    states[task.task_id] = task.state
                    report(TaskState(name=task.display_name, state=task.state, seconds=_measure_seconds(task)))
            if run.state in EXIT_CODES:
                return str(run.state)
            if time.monotonic() >= deadline:
                raise TimeoutError(f"Expected the run to end within {timeout_seconds:.0f} s. Received: {run.state}")
            time.sleep(poll_seconds)

    def get_error(self) -> str:
        """Gives what the run and its tasks say about their failure."""
        run = self.client.get_run(self.run_id)
        messages = [run.error.message] if run.error else []
        messages += [f"{task.display_name}: {task.error.message}" for task in _list_tasks(run) if task.error]
        return "; ".join(str(message) for message in messages)


def _list_tasks(run: Any) -> list[Any]:
    return (run.run_details.task_details if run.run_details else None) or []


def _measure_seconds(task: Any) -> float:
    if not task.start_time:
        return 0.0
    # A task that has not ended carries the beginning of time.
    ended = task.end_time and task.end_time >= task.start_time
    end = task.end_time if ended else datetime.now(tz=task.start_time.tzinfo)
    return float((end - task.start_time).total_seconds())
