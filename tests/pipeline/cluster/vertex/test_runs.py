"""The real google-cloud-aiplatform up to the request it would send; what the service answers is made up here."""

import importlib.util
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from factories import PATHS
from google.api_core.exceptions import AlreadyExists, DeadlineExceeded, PermissionDenied, ServiceUnavailable
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import aiplatform_v1

from pipeline.__main__ import cli
from pipeline.cluster.deadline import Deadline
from pipeline.cluster.following import Follower
from pipeline.cluster.run import TaskState
from pipeline.cluster.submission import ClusterError, Submission
from pipeline.cluster.vertex import runs as vertex_runs
from pipeline.cluster.vertex.client import explain_errors
from pipeline.cluster.vertex.run import read_listed, read_tasks

NAME = "projects/1/locations/europe-west4/pipelineJobs/job"
PLACE = {"project": "shop", "location": "europe-west4"}
States = aiplatform_v1.PipelineState


class Service:
    """Stands where the client of the service stands: takes requests, answers with one state after the other."""

    def __init__(self, *states: Any) -> None:
        self.states = list(states)
        self.created: list[Any] = []
        self.errors: list[tuple[Exception, bool]] = []  # of the next starts; whether carried out

    def create_pipeline_job(self, *, parent: str, pipeline_job: Any, pipeline_job_id: str, **_: Any) -> Any:
        if pipeline_job_id in [job_id for _, job_id, _ in self.created]:
            raise AlreadyExists("a job of that id")
        error, carried_out = self.errors.pop(0) if self.errors else (None, True)
        if carried_out:
            self.created.append((parent, pipeline_job_id, pipeline_job))
        if error:
            raise error
        return aiplatform_v1.PipelineJob(name=NAME, state=States.PIPELINE_STATE_PENDING)

    def get_pipeline_job(self, **_: Any) -> Any:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        kind = aiplatform_v1.PipelineTaskDetail.State
        task = aiplatform_v1.PipelineTaskDetail(
            task_id=1, task_name="ingest", state=kind.RUNNING if "RUNNING" in state.name else kind.SUCCEEDED
        )
        detail = aiplatform_v1.PipelineJobDetail(task_details=[task])
        return aiplatform_v1.PipelineJob(name=NAME, state=state, job_detail=detail)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cluster.following.POLL_SECONDS", 0.001)


@pytest.fixture
def make_run(vertex_submission: Submission, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(service: Service, **options: Any) -> vertex_runs.Run:
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
        return vertex_runs.start_run(vertex_submission, credentials=AnonymousCredentials(), **PLACE, **options)

    return make


def test_the_request_holds_what_was_compiled(make_run: Any) -> None:
    service = Service(States.PIPELINE_STATE_SUCCEEDED)
    run = make_run(service)
    ((parent, job_id, job),) = service.created
    assert parent == "projects/shop/locations/europe-west4"
    assert job_id.startswith("training-")
    assert job.service_account == "runner@shop.example"
    assert job.runtime_config.gcs_output_directory == "gs://bucket/root"
    values = dict(job.runtime_config.parameter_values)
    assert values["batch_size"] == 64
    assert list(values["evaluate_ks"]) == [5, 20]
    resources = job.pipeline_spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert dict(resources["accelerator"])["resourceType"] == "NVIDIA_L4"
    assert run.url.startswith("https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines/runs/job")


def follow(run: vertex_runs.Run, **options: float) -> tuple[str, list[tuple[str, str]]]:
    """Follows a run without waiting; gives the final state and the tasks' states that were seen, each once."""
    seen: list[tuple[str, str]] = []

    class View:
        def show(self, tasks: Sequence[TaskState]) -> None:
            seen.extend(state for task in tasks if (state := (task.name, task.state)) not in seen)

        def say(self, text: str) -> None:
            seen.append(("", text.partition(" ")[0]))

    limits = {"timeout_seconds": 60, "pending_seconds": 60, **options}
    return Follower(run=run, view=View(), **limits).follow().state, seen


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
    assert follow(run) == (expected, [("ingest", "RUNNING"), ("ingest", "SUCCEEDED")])


def test_a_service_that_does_not_answer_is_waited_for(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(States.PIPELINE_STATE_SUCCEEDED)
    run = make_run(service)
    errors = [ServiceUnavailable("Socket closed"), DeadlineExceeded("504")]
    answer = service.get_pipeline_job

    def get(**arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return answer(**arguments)

    monkeypatch.setattr(service, "get_pipeline_job", get)
    state, seen = follow(run)
    assert state == "SUCCEEDED"
    assert seen == [("", "The"), ("", "The"), ("ingest", "SUCCEEDED")]


def test_groups_the_cache_and_causes() -> None:
    kind, task = aiplatform_v1.PipelineTaskDetail.State, aiplatform_v1.PipelineTaskDetail
    details = [
        task(task_id=1, task_name="two-tower-retraining", state=kind.RUNNING),
        task(task_id=2, parent_task_id=1, task_name="train", state=kind.SKIPPED),
        task(task_id=3, parent_task_id=1, task_name="passed", state=kind.FAILED),
        task(task_id=4, parent_task_id=3, task_name="publish", state=kind.FAILED, error={"message": "no permission"}),
    ]
    found = read_tasks(details)
    assert [(one.name, one.state) for one in found] == [("train", "CACHED"), ("passed / publish", "FAILED")]
    assert found[1].cause
    assert found[1].cause.text == "no permission"


def test_a_job_of_a_list() -> None:
    begin = datetime(2026, 11, 26, 14, 0, tzinfo=UTC)
    job = aiplatform_v1.PipelineJob(
        name=NAME,
        display_name="two-tower-training",
        state=States.PIPELINE_STATE_CANCELLED,
        create_time=begin,
        end_time=begin + timedelta(minutes=3),
    )
    listed = read_listed(SimpleNamespace(gca_resource=job))
    assert (listed.id, listed.name, listed.state, listed.seconds) == ("job", "two-tower-training", "CANCELED", 180)


def test_a_job_is_cancelled(make_run: Any) -> None:
    service = Service(States.PIPELINE_STATE_RUNNING)
    cancelled: list[str] = []
    service.cancel_pipeline_job = lambda *, name: cancelled.append(name)  # type: ignore[attr-defined]
    run = make_run(service)
    run.cancel()
    assert cancelled == [NAME]
    assert run.id == "job"


def test_what_vertex_cannot_do_is_said(make_run: Any) -> None:
    run = make_run(Service(States.PIPELINE_STATE_SUCCEEDED))
    with pytest.raises(ClusterError, match="Vertex cannot retry a run"):
        run.retry()
    with pytest.raises(ClusterError, match=r"gcloud logging read .*job_id=\"123\".* --project shop"):
        run.read_log("123")


@pytest.mark.parametrize("error", [ServiceUnavailable("Socket closed"), DeadlineExceeded("504")])
@pytest.mark.parametrize("carried_out", [True, False])
def test_a_start_without_an_answer_makes_one_run(make_run: Any, error: Exception, carried_out: bool) -> None:
    service = Service(States.PIPELINE_STATE_SUCCEEDED)
    service.errors = [(error, carried_out)]
    run = make_run(service)
    assert len(service.created) == 1
    assert follow(run)[0] == "SUCCEEDED"


def test_a_run_of_that_name_is_followed(make_run: Any) -> None:
    service = Service(States.PIPELINE_STATE_SUCCEEDED)
    for _ in range(2):
        assert make_run(service, name="weekly").url.startswith("https://console.cloud.google.com/")
    assert [job_id for _, job_id, _ in service.created] == ["weekly"]


def test_a_start_that_stays_without_an_answer_names_the_run(make_run: Any) -> None:
    service = Service(States.PIPELINE_STATE_SUCCEEDED)
    service.errors = [(ServiceUnavailable("Socket closed"), False)] * 2
    with pytest.raises(ClusterError, match=r"--run-name weekly: .* The last error: .*Socket closed"), explain_errors():
        make_run(service, name="weekly")


def test_a_start_that_takes_too_long_is_given_up(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(States.PIPELINE_STATE_SUCCEEDED)
    monkeypatch.setattr(service, "create_pipeline_job", lambda **_: time.sleep(3))
    make_run(Service(States.PIPELINE_STATE_SUCCEEDED))  # loads Google's client
    start = time.monotonic()
    with pytest.raises(ClusterError, match=r"no answer within 1 s"), explain_errors():
        make_run(service, deadline=Deadline(1))
    assert time.monotonic() - start < 3


def test_gives_up_waiting(make_run: Any) -> None:
    with pytest.raises(TimeoutError, match="Received: RUNNING"):
        follow(make_run(Service(States.PIPELINE_STATE_RUNNING)), timeout_seconds=0)


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
