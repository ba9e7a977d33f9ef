"""Uploads a pipeline to a Kubeflow Pipelines cluster, and starts a run."""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import kfp_server_api
import urllib3

from components.image import SOURCE_VERSION
from pipeline.cluster.deadline import CallError
from pipeline.cluster.kubeflow.client import Client, list_all, quiet
from pipeline.cluster.kubeflow.run import Run
from pipeline.cluster.submission import ClusterError, Submission, make_run_name
from pipeline.compilation import compile_pipeline

# Attempts to start a run, and the wait before a start without an answer is looked up: the server may still be working.
START_TRIES = 3
RETRY_SECONDS = 2.0
# After these errors, the server may have executed the call: no answer, an invalid one, or one from a gateway.
LOST_ANSWERS = (CallError, urllib3.exceptions.HTTPError, ConnectionError)
_LOST_STATUSES = (502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a pipeline on the cluster; without ids, it is not uploaded yet."""

    pipeline_name: str
    name: str
    pipeline_id: str = ""
    version_id: str = ""


def prepare_version(client: Client, submission: Submission, *, upload: bool = True) -> Version:
    """Finds or uploads the version of the pipeline for these sources and settings.

    The name of a version is a hash of both, so the same submission is never uploaded twice.

    Args:
        client: the client from `connect`.
        submission: what to run.
        upload: whether to upload the pipeline and the version if they do not exist.
    """
    pipeline = compile_pipeline(submission.pipeline, submission.tasks)
    name = f"{SOURCE_VERSION}-{pipeline.content_hash}"
    with quiet():
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
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "pipeline.yaml"
                path.write_text(pipeline.text)
                uploaded = client.upload_pipeline_version(str(path), name, pipeline_id=pipeline_id)
            version_id = uploaded.pipeline_version_id
    return Version(pipeline_name=pipeline.name, name=name, pipeline_id=pipeline_id, version_id=version_id)


def get_experiment_id(client: Client, name: str) -> str:
    """Finds or creates the experiment of that name in the client's namespace."""
    with quiet():
        return str(client.create_experiment(name).experiment_id)


def start_run(client: Client, submission: Submission, *, name: str = "", host: str = "") -> Run:
    """Starts a run, or finds the existing run of that name in the experiment.

    If the answer to a start is lost, the run is looked up by its name before the start is retried.

    Args:
        client: the client from `connect`.
        submission: what to run.
        name: name of the run; by default, a unique one.
        host: URL of the API, for the URL of the run.

    Raises:
        ClusterError: it is unknown whether the run was started.
    """
    version = prepare_version(client, submission)
    experiment_id = get_experiment_id(client, submission.experiment)
    name = name or make_run_name(submission)
    # KFP's own method for this leaves out the description.
    body = kfp_server_api.V2beta1Run(
        experiment_id=experiment_id,
        display_name=name,
        description=submission.description,
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
        ),
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(
            parameters=dict(submission.parameters), pipeline_root=submission.pipeline_root or None
        ),
        service_account=submission.service_account or None,
    )
    run_id = _find_run(client, experiment_id, name)
    tries = 0
    while not run_id:
        tries += 1
        try:
            run_id = str(client._run_api.run_service_create_run(run=body).run_id)
        except kfp_server_api.ApiException as error:
            if error.status not in _LOST_STATUSES:
                raise
            run_id = _find_lost_run(client, experiment_id, name, error, is_last=tries == START_TRIES)
        except LOST_ANSWERS as error:
            run_id = _find_lost_run(client, experiment_id, name, error, is_last=tries == START_TRIES)
    return Run(client=client, id=run_id, host=host)


def _find_run(client: Client, experiment_id: str, name: str) -> str:
    """Finds the run of that name in the experiment; empty if there is none."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    runs = list_all(
        client.list_runs, "runs", experiment_id=experiment_id, filter=json.dumps({"predicates": [predicate]})
    )
    return str(runs[0].run_id) if runs else ""


def _find_lost_run(client: Client, experiment_id: str, name: str, error: Exception, *, is_last: bool) -> str:
    """Finds the run whose start was not answered; empty if the start may be retried."""
    time.sleep(min(RETRY_SECONDS, client.deadline.remaining))
    try:
        run_id = _find_run(client, experiment_id, name)
    except (kfp_server_api.ApiException, *LOST_ANSWERS):
        run_id, is_last = "", True
    if not run_id and is_last:
        raise ClusterError(
            f"The start of the run {name} was not answered, so it is unknown whether it runs. Repeat the command with "
            f"--run-name {name}: it starts the run only if there is none of that name. The last error: {error}"
        ) from error
    return run_id
