"""The real google-cloud-aiplatform over gRPC, against a service that keeps state (`vertex_server.py`)."""

import copy
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vertex_server
import yaml
from click.testing import CliRunner, Result
from factories import PATHS
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1
from google.protobuf import json_format
from vertex_server import FakeVertex, State

from pipeline.__main__ import cli
from pipeline.cluster.cron import Cron
from pipeline.cluster.deadline import Deadline
from pipeline.cluster.schedule import Schedule
from pipeline.cluster.schedule_file import read_schedules
from pipeline.cluster.submission import ClusterError, Submission
from pipeline.cluster.vertex import runs as vertex_runs
from pipeline.cluster.vertex import schedules as vertex_schedules
from pipeline.cluster.vertex.client import explain_errors
from pipeline.cluster.vertex.schedule_messages import OWNER_LABEL, make_message
from pipeline.cluster.vertex.schedules import VertexSchedules

NAME = "weekly"
PLACE = {"project": "shop", "location": "europe-west4"}
PARENT = "projects/shop/locations/europe-west4"


@pytest.fixture
def service() -> FakeVertex:
    return FakeVertex()


@pytest.fixture
def schedules(service: FakeVertex) -> Iterator[VertexSchedules]:
    with vertex_server.serve(service) as address, vertex_server.connect(address) as client:
        yield VertexSchedules(service=client, **PLACE)


@pytest.fixture
def wanted(vertex_submission: Submission) -> Schedule:
    cron = Cron(expression="0 3 * * 1", time_zone="Europe/Berlin")
    return Schedule(name=NAME, cron=cron, submission=vertex_submission)


def change(wanted: Schedule, **submission: Any) -> Schedule:
    cron = Cron(expression="30 4 * * 2")
    return dataclasses.replace(wanted, cron=cron, submission=dataclasses.replace(wanted.submission, **submission))


def check_right(service: FakeVertex, wanted: Schedule) -> None:
    """Exactly one schedule, and it says what was asked for: read from the service, not through the code under test."""
    (installed,) = service.named(wanted.name)
    assert installed.cron == f"TZ={wanted.cron.time_zone} {wanted.cron.expression}"
    assert installed.state == (State.ACTIVE if wanted.enabled else State.PAUSED)
    assert (installed.max_concurrent_run_count, installed.max_concurrent_active_run_count) == (1, 1)
    assert not installed.allow_queueing
    assert not (wanted.enabled and installed.catch_up)
    assert not installed.end_time
    assert not installed.max_run_count
    job = installed.create_pipeline_job_request.pipeline_job
    assert job.runtime_config.gcs_output_directory == wanted.submission.pipeline_root
    assert job.service_account == wanted.submission.service_account
    values = json_format.MessageToDict(aiplatform_v1.PipelineJob.pb(job))["runtimeConfig"]["parameterValues"]
    assert values == dict(wanted.submission.parameters)


@pytest.mark.parametrize("enabled", [True, False])
def test_created_and_left_alone(
    service: FakeVertex, schedules: VertexSchedules, wanted: Schedule, enabled: bool
) -> None:
    wanted = dataclasses.replace(wanted, enabled=enabled)
    assert schedules.apply(wanted)[0].startswith("+ weekly: 0 3 * * 1 Europe/Berlin, version ")
    check_right(service, wanted)
    (first,) = service.schedules
    service.calls.clear()
    assert schedules.apply(wanted) == []
    assert list(service.schedules) == [first]
    assert set(service.calls) == {"list_schedules"}


def test_a_paused_one_is_born_before_its_time(
    service: FakeVertex, schedules: VertexSchedules, wanted: Schedule
) -> None:
    service.drop_from, service.drop_applied = 1, True  # the answer of the creation, which is before the pause
    with pytest.raises(ClusterError), explain_errors():
        schedules.apply(dataclasses.replace(wanted, enabled=False))
    (installed,) = service.schedules.values()
    assert installed.state == State.ACTIVE
    assert (installed.start_time - installed.create_time).total_seconds() > 300


def test_the_job_is_the_one_that_the_sdk_makes(wanted: Schedule) -> None:
    mine = make_message(wanted, parent=PARENT).create_pipeline_job_request.pipeline_job
    theirs = vertex_runs.make_job(wanted.submission, credentials=AnonymousCredentials(), **PLACE)
    for field in ("pipeline_spec", "runtime_config"):
        message, other = aiplatform_v1.PipelineJob(), aiplatform_v1.PipelineJob()
        setattr(message, field, getattr(mine, field))
        setattr(other, field, getattr(theirs, field))
        assert message == other, field


@pytest.mark.parametrize("start_enabled", [True, False])
@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"cron": Cron(expression="30 4 * * 2")}, "cron"),
        ({"enabled": False}, ""),
        ({"submission": {"parameters": {**PATHS, "random_seed": 7}}}, "create_pipeline_job_request"),
        ({"submission": {"service_account": "other@shop.example"}}, "create_pipeline_job_request"),
        ({"submission": {"pipeline_root": "gs://bucket/other"}}, "create_pipeline_job_request"),
        (
            {
                "cron": Cron(expression="30 4 * * 2"),
                "submission": {"pipeline": "retraining", "parameters": {"log_path": "gs://l"}},
            },
            "create_pipeline_job_request,cron",
        ),
    ],
    ids=str,
)
def test_every_difference_is_mended_in_place_in_one_call(
    service: FakeVertex,
    schedules: VertexSchedules,
    wanted: Schedule,
    changes: dict[str, Any],
    paths: str,
    start_enabled: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedules.apply(dataclasses.replace(wanted, enabled=start_enabled))
    (first,) = service.schedules
    if "submission" in changes:
        changes = {**changes, "submission": dataclasses.replace(wanted.submission, **changes["submission"])}
    changed = dataclasses.replace(wanted, **changes)
    state = str(service.schedules)
    planned = schedules.plan(changed)
    assert str(service.schedules) == state, "a plan changed something"
    masks: list[str] = []
    update = service.update_schedule
    monkeypatch.setattr(
        service, "update_schedule", lambda request: masks.append(",".join(request.update_mask.paths)) or update(request)
    )
    assert schedules.apply(changed) == planned
    check_right(service, changed)
    assert list(service.schedules) == [first]
    assert masks == ([paths] if paths else [])


def test_a_plan_names_what_differs(schedules: VertexSchedules, wanted: Schedule) -> None:
    schedules.apply(wanted)
    parameters = {name: value for name, value in wanted.submission.parameters.items() if name != "batch_size"}
    lines = schedules.plan(dataclasses.replace(change(wanted, parameters=parameters), enabled=False))
    assert lines[0].startswith(f"~ {NAME}: 30 4 * * 2 UTC, version ")
    assert lines[1:] == [
        "~   times: 0 3 * * 1 Europe/Berlin -> 30 4 * * 2 UTC",
        "~   parameters.batch_size: 64.0 -> default",
        "~ weekly: disable",
    ]


def test_what_somebody_changed_by_hand_is_put_back(
    service: FakeVertex, schedules: VertexSchedules, wanted: Schedule
) -> None:
    schedules.apply(wanted)
    (installed,) = service.schedules.values()
    installed.catch_up = installed.allow_queueing = True
    installed.max_concurrent_run_count = installed.max_concurrent_active_run_count = 3
    lines = schedules.apply(wanted)
    assert lines[1:] == [
        "~   starts at a time: 3 -> 1",
        "~   concurrent runs: 3 -> 1",
        "~   queueing: True -> False",
        "~ weekly: no catch-up",
    ]
    check_right(service, wanted)


def test_a_service_account_that_is_not_given_stays(
    service: FakeVertex, schedules: VertexSchedules, wanted: Schedule
) -> None:
    schedules.apply(wanted)
    changed = change(wanted, service_account="")
    schedules.apply(changed)
    check_right(service, change(wanted))
    assert schedules.apply(changed) == []


BEFORES = {
    "nothing": [],
    "paused": [{"enabled": False}],
    "other": [{"other": True}],
    "other, paused": [{"other": True, "enabled": False}],
    "several": [{}, {"other": True}, {"enabled": False}],
    "ends": [{"ends": True}],
    "ends, several": [{"ends": True}, {"ends": True, "enabled": False}, {"other": True}],
    "completed": [{"completed": True}],
    "catches up": [{"catch_up": True}],
}


def install(service: FakeVertex, schedules: VertexSchedules, wanted: Schedule, before: dict[str, Any]) -> None:
    schedule = change(wanted, pipeline_root="gs://bucket/other") if before.get("other") else wanted
    name = schedules.service.create_schedule(parent=PARENT, schedule=make_message(schedule, parent=PARENT)).name
    installed = service.schedules[name]
    if not before.get("enabled", True):
        installed.state = State.PAUSED
    if before.get("ends"):
        installed.max_run_count = 9
    if before.get("completed"):
        installed.state = State.COMPLETED
    installed.catch_up = before.get("catch_up", False)


@pytest.mark.slow
@pytest.mark.parametrize("applied", [False, True], ids=["lost request", "lost answer"])
@pytest.mark.parametrize("once", [False, True], ids=["for good", "once"])
@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "disabled"])
@pytest.mark.parametrize("start", BEFORES)
def test_broken_off_at_every_call_the_next_call_converges(
    service: FakeVertex,
    schedules: VertexSchedules,
    wanted: Schedule,
    start: str,
    enabled: bool,
    once: bool,
    applied: bool,
) -> None:
    for before in BEFORES[start]:
        install(service, schedules, wanted, before)
    wanted = dataclasses.replace(wanted, enabled=enabled)
    begin = copy.deepcopy(service.schedules)
    num_active = len(service.named(NAME, State.ACTIVE))
    for offset in range(30):
        service.schedules = copy.deepcopy(begin)
        service.max_active.clear()
        service.min_count.clear()
        service.drop_from, service.drop_once, service.drop_applied = len(service.calls) + offset, once, applied
        finished = True
        try:
            with explain_errors():
                schedules.apply(wanted)
        except ClusterError:
            finished = False
        reached = len(service.calls) > service.drop_from
        service.drop_from = None
        if finished:
            check_right(service, wanted)
        schedules.apply(wanted)
        check_right(service, wanted)
        assert schedules.apply(wanted) == []
        assert service.max_active[NAME] <= max(num_active, 1)
        if begin:
            assert service.min_count[NAME] >= 1
        if not reached:
            break
    assert not reached, "the calls never came to an end"


def test_schedules_of_others_are_not_touched(service: FakeVertex, schedules: VertexSchedules, wanted: Schedule) -> None:
    schedules.apply(wanted)
    (mine,) = service.schedules.values()
    theirs = {}
    for number, copied in enumerate(("by hand", "a copy")):
        theirs[f"{PARENT}/schedules/9{number}"] = other = aiplatform_v1.Schedule(mine)
        other.name = f"{PARENT}/schedules/9{number}"
        if copied == "by hand":  # under the same name, without the label
            del other.create_pipeline_job_request.pipeline_job.labels[OWNER_LABEL]
        else:
            other.display_name = "somebody's copy in the console"
    theirs[f"{PARENT}/schedules/92"] = aiplatform_v1.Schedule(
        name=f"{PARENT}/schedules/92",
        display_name=NAME,
        create_notebook_execution_job_request={"parent": PARENT},
        create_time=mine.create_time,
    )
    service.schedules.update(copy.deepcopy(theirs))
    schedules.apply(change(wanted))
    assert [one.id for one in schedules.find()] == [mine.name]
    schedules.delete(NAME)
    assert service.schedules == theirs


def test_paused_resumed_deleted(service: FakeVertex, schedules: VertexSchedules, wanted: Schedule) -> None:
    service.slow_deletes = True
    schedules.apply(wanted)
    for _ in range(2):
        schedules.set_enabled(NAME, enabled=False)
        check_right(service, dataclasses.replace(wanted, enabled=False))
    for _ in range(2):
        schedules.set_enabled(NAME, enabled=True)
        check_right(service, wanted)
    install(service, schedules, wanted, {"enabled": False})
    with pytest.raises(ClusterError, match=r"Expected one schedule 'weekly'; apply it again\. Received: 2"):
        schedules.set_enabled(NAME, enabled=True)
    schedules.delete(NAME)
    assert not service.schedules
    assert "get_operation" in service.calls
    with pytest.raises(ClusterError, match=r"one of none\. Received: 'weekly'"):
        schedules.set_enabled(NAME, enabled=True)


def test_somebody_else_deletes_first(
    service: FakeVertex, schedules: VertexSchedules, wanted: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules.apply(wanted)
    delete = service.delete_schedule
    monkeypatch.setattr(service, "delete_schedule", lambda request: (delete(request), delete(request)))
    schedules.delete(NAME)
    assert not service.schedules


def test_a_refusal_is_one_line(schedules: VertexSchedules, wanted: Schedule) -> None:
    elsewhere = dataclasses.replace(schedules, project="shop/of/others")
    with (
        pytest.raises(ClusterError, match=r"Expected Vertex AI to accept the request\. Received: 400 no parent"),
        explain_errors(),
    ):
        elsewhere.apply(wanted)


def test_nothing_that_answers_is_one_line(wanted: Schedule) -> None:
    with vertex_server.connect("127.0.0.1:9") as client:
        schedules = VertexSchedules(service=client, **PLACE)
        with pytest.raises(ClusterError, match="Received: 503"), explain_errors():
            schedules.apply(wanted)


def test_the_real_client_goes_to_the_region() -> None:
    schedules = vertex_schedules.connect(credentials=AnonymousCredentials(), **PLACE)
    assert schedules.service.transport.host == "europe-west4-aiplatform.googleapis.com:443"
    with pytest.raises(ValueError, match=r"Expected --project and --location\. Received: '' and 'europe-west4'"):
        vertex_schedules.connect(project="", location="europe-west4")


@pytest.mark.parametrize(
    ("tokens", "message"), [("endless", r"no answer within 0\.5 s"), ("repeated", "the same page 'again' .* twice")]
)
def test_a_list_that_never_ends_is_given_up(
    service: FakeVertex, schedules: VertexSchedules, tokens: str, message: str
) -> None:
    service.page_tokens = tokens
    start = time.monotonic()
    with pytest.raises(ClusterError, match=message), explain_errors():
        dataclasses.replace(schedules, deadline=Deadline(0.5)).find()
    assert time.monotonic() - start < 3


def test_an_answer_that_does_not_come_is_given_up(
    service: FakeVertex, schedules: VertexSchedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "list_schedules", lambda _: time.sleep(2))
    start = time.monotonic()
    with pytest.raises(ClusterError, match=r"no answer within 0\.5 s"), explain_errors():
        dataclasses.replace(schedules, deadline=Deadline(0.5)).find()
    assert time.monotonic() - start < 2


@pytest.fixture
def run_cli(schedules: VertexSchedules, monkeypatch: pytest.MonkeyPatch) -> Any:
    def connect(*, deadline: Deadline, **place: str) -> VertexSchedules:
        assert place == PLACE
        assert deadline.remaining > 0
        return schedules

    monkeypatch.setattr(vertex_schedules, "connect", connect)

    def run(*arguments: str) -> Result:
        options = ["--target", "vertex", "--project", PLACE["project"], "--location", PLACE["location"]]
        return CliRunner().invoke(cli, ["schedule", *arguments, *options])

    return run


def test_commands(service: FakeVertex, run_cli: Any, wanted: Schedule) -> None:
    submission = wanted.submission
    settings = [
        f"--set={key}={value}".replace("[", "").replace("]", "") for key, value in submission.parameters.items()
    ]
    create = ["--name", NAME, "--cron", "0 3 * * 1", "--time-zone", "Europe/Berlin", *settings]
    create += ["--image", submission.tasks.image, "--accelerator", "NVIDIA_L4", "--accelerator-count", "2"]
    create += ["--pipeline-root", submission.pipeline_root, "--service-account", submission.service_account]
    create += ["--pipeline", "training"]
    assert run_cli(*create, "--dry-run").output.startswith("+ weekly: 0 3 * * 1 Europe/Berlin")
    assert not service.schedules
    assert run_cli(*create).exit_code == 0
    check_right(service, wanted)
    assert run_cli(*create).output == "nothing to change\n"
    assert run_cli("list").output.split()[4:11] == ["weekly", "0", "3", "*", "*", "1", "Europe/Berlin"]
    for command, state in (("pause", State.PAUSED), ("resume", State.ACTIVE)):
        assert run_cli(command, NAME).exit_code == 0
        assert next(iter(service.schedules.values())).state == state
    assert run_cli("delete", NAME).exit_code == 0
    assert not service.schedules


FILE = """
schedules:
- name: weekly
  cron: 0 3 * * 1
  time_zone: Europe/Berlin
  pipeline: training
  parameters:
    train_path: s3://logs/train.tsv
    valid_path: s3://logs/valid.tsv
    test_path: s3://logs/test.tsv
    batch_size: 64
    evaluate_ks: [5]
  kfp: {image: cluster.example/two-tower:1, accelerator: nvidia.com/gpu, cluster_time_zone: Europe/Berlin}
  vertex:
    image: registry.example/two-tower:1
    accelerator: NVIDIA_L4
    accelerator_count: 2
    service_account: runner@shop.example
    pipeline_root: gs://bucket/root
    parameters: {evaluate_ks: [5, 20]}
"""


def test_a_file_holds_for_both_kinds_of_cluster(
    service: FakeVertex, schedules: VertexSchedules, run_cli: Any, tmp_path: Path, wanted: Schedule
) -> None:
    path = tmp_path / "schedules.yaml"
    path.write_text(FILE)
    assert read_schedules(path, "vertex") == [wanted]
    (on_kfp,) = read_schedules(path, "kfp")
    assert (on_kfp.submission.tasks.image, on_kfp.submission.parameters["evaluate_ks"]) == (
        "cluster.example/two-tower:1",
        [5],
    )
    for _ in range(2):
        install(service, schedules, dataclasses.replace(wanted, name="forgotten"), {})
    assert run_cli("apply", str(path)).exit_code == 0
    assert len(service.schedules) == 3
    assert run_cli("apply", str(path), "--prune", "--dry-run").output.count("- forgotten") == 2
    assert len(service.schedules) == 3
    assert run_cli("apply", str(path), "--prune").exit_code == 0
    check_right(service, wanted)
    assert len(service.schedules) == 1


@pytest.mark.parametrize(
    ("key", "value"), [("vertex", {"colour": "red"}), ("kfp", ["red"]), ("pipeline_root", "s3://bucket")]
)
def test_a_wrong_file_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    document = yaml.safe_load(FILE)
    entry = document["schedules"][0]
    entry.update(entry.pop("vertex"))
    entry[key] = value
    path = tmp_path / "schedules.yaml"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"Expected .* Received: "):
        read_schedules(path, "vertex")
