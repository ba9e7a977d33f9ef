"""The real google-cloud-aiplatform up to the request it would send; what the service answers is made up here."""

import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from factories import PATHS
from google.api_core.exceptions import PermissionDenied
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import aiplatform_v1

from pipeline.__main__ import cli
from pipeline.cluster.submission import ClusterError, Submission, TaskState
from pipeline.cluster.vertex import runs as vertex_runs
from pipeline.cluster.vertex.client import explain_errors

NAME = "projects/1/locations/europe-west4/pipelineJobs/job"
PLACE = {"project": "shop", "location": "europe-west4"}
States = aiplatform_v1.PipelineState


class Service:
    """Stands where the client of the service stands: takes requests, answers with one state after the other."""

    def __init__(self, *states: Any) -> None:
        self.states = list(states)
        self.created: list[Any] = []

    def create_pipeline_job(self, *, parent: str, pipeline_job: Any, pipeline_job_id: str, **_: Any) -> Any:
        self.created.append((parent, pipeline_job_id, pipeline_job))
        return aiplatform_v1.PipelineJob(name=NAME, state=States.PIPELINE_STATE_PENDING)

    def get_pipeline_job(self, **_: Any) -> Any:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        kind = aiplatform_v1.PipelineTaskDetail.State
        task = aiplatform_v1.PipelineTaskDetail(
            task_id=1, task_name="ingest", state=kind.RUNNING if "RUNNING" in state.name else kind.SUCCEEDED
        )
        detail = aiplatform_v1.PipelineJobDetail(task_details=[task])
        return aiplatform_v1.PipelineJob(name=NAME, state=state, job_detail=detail)


@pytest.fixture
def make_run(vertex_submission: Submission, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(service: Service) -> vertex_runs.Run:
        from google.cloud.aiplatform import pipeline_jobs

        make_job = vertex_runs.make_job

        def make_job_of_service(*arguments: Any, **options: Any) -> Any:
            job = make_job(*arguments, **options)
            job.api_client = service
            return job

        monkeypatch.setattr(vertex_runs, "make_job", make_job_of_service)
        monkeypatch.setattr(
            pipeline_jobs.gcs_utils, "create_gcs_bucket_for_pipeline_artifacts_if_it_does_not_exist", lambda **_: None
        )
        return vertex_runs.start_run(vertex_submission, credentials=AnonymousCredentials(), **PLACE)

    return make


def test_the_request_holds_what_was_compiled(make_run: Any) -> None:
    service = Service(States.PIPELINE_STATE_SUCCEEDED)
    run = make_run(service)
    ((parent, job_id, job),) = service.created
    assert parent == "projects/shop/locations/europe-west4"
    assert job_id.startswith("two-tower-training-")
    assert job.service_account == "runner@shop.example"
    assert job.runtime_config.gcs_output_directory == "gs://bucket/root"
    values = dict(job.runtime_config.parameter_values)
    assert values["batch_size"] == 64
    assert list(values["evaluate_ks"]) == [5, 20]
    resources = job.pipeline_spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert dict(resources["accelerator"])["resourceType"] == "NVIDIA_L4"
    assert run.url.startswith("https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines/runs/job")


@pytest.mark.parametrize(
    ("final", "expected"),
    [
        (States.PIPELINE_STATE_SUCCEEDED, "SUCCEEDED"),
        (States.PIPELINE_STATE_FAILED, "FAILED"),
        (States.PIPELINE_STATE_CANCELLED, "CANCELED"),
    ],
)
def test_followed_to_the_end(make_run: Any, final: Any, expected: str) -> None:
    run = make_run(Service(States.PIPELINE_STATE_RUNNING, States.PIPELINE_STATE_RUNNING, final))
    seen: list[TaskState] = []
    assert run.follow(seen.append, timeout_seconds=60, poll_seconds=0) == expected
    assert [(task.name, task.state) for task in seen] == [("ingest", "RUNNING"), ("ingest", "SUCCEEDED")]


def test_gives_up_waiting(make_run: Any) -> None:
    with pytest.raises(TimeoutError, match="PIPELINE_STATE_RUNNING"):
        make_run(Service(States.PIPELINE_STATE_RUNNING)).follow(lambda _: None, timeout_seconds=0)


def test_a_refusal_is_one_line(make_run: Any) -> None:
    def refuse(**_: Any) -> None:
        raise PermissionDenied("no permission aiplatform.pipelineJobs.create")

    with pytest.raises(ClusterError, match="no permission"), explain_errors():
        make_run(SimpleNamespace(create_pipeline_job=refuse))


@pytest.mark.parametrize("missing", ["project", "pipeline-root"])
@pytest.mark.parametrize("command", [["submit"], ["schedule", "--pipeline", "training", "--cron", "0 3 * * 1"]])
def test_commands_need_a_project_and_a_bucket(command: list[str], missing: str) -> None:
    given = {"project": "shop", "pipeline-root": "gs://bucket/root"} | {missing: ""}
    options = [f"--set={name}={value}" for name, value in PATHS.items()]
    options += [f"--{name}={value}" for name, value in given.items()]
    done = CliRunner().invoke(cli, [*command, "--target", "vertex", "--image", "registry.example/x:1", *options])
    assert isinstance(done.exception, ValueError)
    assert f"--{missing}" in str(done.exception)


@pytest.mark.parametrize("command", [["submit"], ["schedule", "--pipeline", "training", "--cron", "0 3 * * 1"]])
def test_missing_credentials_are_one_line(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none(**_: object) -> None:
        raise DefaultCredentialsError("none were found")

    monkeypatch.setattr("google.auth.default", find_none)
    options = [f"--set={name}={value}" for name, value in PATHS.items()]
    options += ["--project", "shop", "--pipeline-root", "gs://bucket/root", "--image", "registry.example/x:1"]
    done = CliRunner().invoke(cli, [*command, "--target", "vertex", *options])
    assert isinstance(done.exception, ClusterError)
    assert "gcloud auth application-default login" in str(done.exception)


@pytest.mark.parametrize("missing", ["google", "google.cloud", "google.cloud.aiplatform"])
def test_a_missing_extra_is_one_line(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(ClusterError, match=r"pip install 'two-tower\[vertex\]'"), explain_errors():
        pass
