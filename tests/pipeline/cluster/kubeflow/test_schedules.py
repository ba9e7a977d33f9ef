import copy
import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from factories import PATHS
from kfp_server import FakeKfp

from pipeline.__main__ import cli
from pipeline.cluster.cron import Cron
from pipeline.cluster.kubeflow import schedules as kfp_schedules
from pipeline.cluster.kubeflow.client import connect, explain_errors
from pipeline.cluster.kubeflow.runs import prepare_version
from pipeline.cluster.kubeflow.schedules import KfpSchedules
from pipeline.cluster.schedule import Schedule
from pipeline.cluster.schedule_file import read_schedules
from pipeline.cluster.submission import ClusterError, Submission

NAME = "weekly"
WEEKLY = Cron(expression="0 3 * * 1")


@pytest.fixture
def wanted(submission: Submission) -> Schedule:
    return Schedule(name=NAME, cron=WEEKLY, submission=submission)


@pytest.fixture
def schedules(host: str) -> KfpSchedules:
    return KfpSchedules(client=connect(host=host))


def change(wanted: Schedule) -> Schedule:
    return dataclasses.replace(wanted, cron=Cron(expression="30 4 * * 2"))


def check_right(cluster: FakeKfp, wanted: Schedule) -> None:
    """Exactly one schedule, and it says what was asked for: read from the server, not through the code under test."""
    (installed,) = cluster.recurring_runs.values()
    minute, hour, *rest = wanted.cron.expression.split()
    assert installed["trigger"]["cron_schedule"]["cron"] == " ".join(["0", minute, hour, *rest])
    assert installed["no_catchup"] is True
    assert int(installed["max_concurrency"]) == 1
    assert installed["status"] == ("ENABLED" if wanted.enabled else "DISABLED")
    assert installed["runtime_config"]["parameters"] == dict(wanted.submission.parameters)


@pytest.mark.parametrize("enabled", [True, False])
def test_created_and_left_alone(cluster: FakeKfp, schedules: KfpSchedules, wanted: Schedule, enabled: bool) -> None:
    wanted = dataclasses.replace(wanted, enabled=enabled)
    assert schedules.apply(wanted)
    check_right(cluster, wanted)
    (first,) = cluster.recurring_runs
    assert schedules.apply(wanted) == []
    assert list(cluster.recurring_runs) == [first]


@pytest.mark.parametrize(
    "changes",
    [
        {"cron": Cron(expression="30 4 * * 2")},
        {"enabled": False},
        {"submission": {"parameters": {**PATHS, "random_seed": 7}}},
        {"submission": {"experiment": "other"}},
        {"submission": {"service_account": "runner"}},
        {"submission": {"pipeline_root": "s3://bucket/root"}},
    ],
    ids=str,
)
def test_every_difference_is_seen_and_mended(
    cluster: FakeKfp, schedules: KfpSchedules, wanted: Schedule, submission: Submission, changes: dict[str, object]
) -> None:
    schedules.apply(wanted)
    if "submission" in changes:
        changes = {"submission": dataclasses.replace(submission, **changes["submission"])}  # type: ignore[arg-type]
    changed = dataclasses.replace(wanted, **changes)  # type: ignore[arg-type]
    state = str(cluster.recurring_runs)
    planned = schedules.plan(changed)
    assert planned
    assert str(cluster.recurring_runs) == state, "a plan changed something"
    assert schedules.apply(changed) == planned
    check_right(cluster, changed)
    assert cluster.max_enabled[NAME] == 1


def test_a_service_account_that_is_not_given_is_the_clusters_own(
    cluster: FakeKfp, schedules: KfpSchedules, wanted: Schedule
) -> None:
    schedules.apply(wanted)
    (installed,) = cluster.recurring_runs.values()
    assert installed["service_account"] == "pipeline-runner"  # the server fills it in
    assert schedules.apply(wanted) == []


def test_a_plan_names_what_differs(schedules: KfpSchedules, wanted: Schedule) -> None:
    schedules.apply(wanted)
    lines = schedules.plan(change(wanted))
    assert lines[0].startswith(f"+ {NAME}: 30 4 * * 2 UTC")
    assert "~   cron: 0 0 3 * * 1 -> 0 30 4 * * 2" in lines
    assert lines[-1].startswith(f"- {NAME}: ")


@pytest.mark.parametrize("applied", [False, True], ids=["lost request", "lost answer"])
@pytest.mark.parametrize(
    ("start", "once"),
    [
        ("nothing", False),
        ("paused", False),
        pytest.param("other", False, marks=pytest.mark.slow),
        pytest.param("several", False, marks=pytest.mark.slow),
        pytest.param("other", True, marks=pytest.mark.slow),
    ],
)
def test_broken_off_at_every_call_the_next_call_converges(
    cluster: FakeKfp, schedules: KfpSchedules, wanted: Schedule, start: str, once: bool, applied: bool
) -> None:
    befores = {
        "nothing": [],
        "paused": [dataclasses.replace(wanted, enabled=False)],
        "other": [change(wanted)],
        "several": [wanted, change(wanted), wanted],
    }
    for before in befores[start]:
        version = prepare_version(schedules.client, before.submission)
        made = kfp_schedules._create(schedules.client, before, version)
    if start == "other":
        schedules.client.enable_recurring_run(made.id)
    recurring_runs = copy.deepcopy(cluster.recurring_runs)
    for offset in range(60):
        cluster.recurring_runs = copy.deepcopy(recurring_runs)
        cluster.max_enabled.clear()
        cluster.drop_from, cluster.drop_once, cluster.drop_applied = len(cluster.calls) + offset, once, applied
        finished = True
        try:
            with explain_errors("the server"):
                schedules.apply(wanted)
        except ClusterError:
            finished = False
        reached = len(cluster.calls) > cluster.drop_from
        cluster.drop_from = None
        assert cluster.max_enabled.get(NAME, 0) <= 1
        if finished:
            check_right(cluster, wanted)
        schedules.apply(wanted)
        check_right(cluster, wanted)
        assert cluster.max_enabled.get(NAME, 0) <= 1
        if not reached:
            break
    assert not reached, "the calls never came to an end"
    assert len(cluster.pipelines) == len(cluster.versions) == len(cluster.experiments) == 1


def start_run(cluster: FakeKfp, state: str) -> str:
    (installed,) = cluster.recurring_runs.values()
    run = {"run_id": "run", "display_name": "run", "state": state, "experiment_id": installed["experiment_id"]}
    cluster.runs["run"] = {**run, "recurring_run_id": installed["recurring_run_id"]}
    return str(installed["recurring_run_id"])


def test_a_run_in_progress_is_not_killed(cluster: FakeKfp, schedules: KfpSchedules, wanted: Schedule) -> None:
    schedules.apply(wanted)
    old = start_run(cluster, "RUNNING")
    impatient = KfpSchedules(client=schedules.client, retire_seconds=0)
    with pytest.raises(ClusterError, match="run run continues"):
        impatient.apply(change(wanted))
    assert cluster.killed_runs == []
    assert cluster.recurring_runs[old]["status"] == "DISABLED"
    assert len(cluster.enabled(NAME)) == 1
    cluster.runs["run"]["state"] = "SUCCEEDED"
    assert impatient.apply(change(wanted)) == [f"- {NAME}: {old}"]
    check_right(cluster, change(wanted))


def test_waits_for_a_run_that_ends(
    cluster: FakeKfp, schedules: KfpSchedules, wanted: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules.apply(wanted)
    start_run(cluster, "RUNNING")
    monkeypatch.setattr(
        "pipeline.cluster.kubeflow.schedules.time.sleep", lambda _: cluster.runs["run"].update(state="FAILED")
    )
    schedules.apply(change(wanted))
    check_right(cluster, change(wanted))
    assert cluster.killed_runs == []


def test_schedules_of_others_are_not_touched(cluster: FakeKfp, schedules: KfpSchedules, wanted: Schedule) -> None:
    schedules.apply(wanted)
    (mine,) = cluster.recurring_runs.values()
    cluster.recurring_runs["theirs"] = {**mine, "recurring_run_id": "theirs", "description": "by hand"}
    schedules.apply(change(wanted))
    schedules.delete(NAME)
    assert list(cluster.recurring_runs) == ["theirs"]
    assert cluster.recurring_runs["theirs"]["status"] == "ENABLED"


def test_paused_resumed_deleted(cluster: FakeKfp, schedules: KfpSchedules, wanted: Schedule) -> None:
    schedules.apply(wanted)
    schedules.set_enabled(NAME, enabled=False)
    assert not cluster.enabled(NAME)
    schedules.set_enabled(NAME, enabled=True)
    check_right(cluster, wanted)
    schedules.delete(NAME)
    assert not cluster.recurring_runs
    with pytest.raises(ClusterError, match=r"one of none\. Received: 'weekly'"):
        schedules.set_enabled(NAME, enabled=True)


def run_cli(host: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["schedule", *arguments, "--host", host])


def test_commands(cluster: FakeKfp, host: str, submission: Submission, wanted: Schedule) -> None:
    settings = [
        f"--set={name}={value}".replace("[", "").replace("]", "") for name, value in submission.parameters.items()
    ]
    create = ["--name", NAME, "--cron", WEEKLY.expression, "--image", submission.tasks.image, *settings]
    create += ["--pipeline", "training"]
    assert run_cli(host, *create, "--dry-run").output.startswith("+ weekly: 0 3 * * 1 UTC")
    assert not cluster.recurring_runs
    assert run_cli(host, *create).exit_code == 0
    check_right(cluster, wanted)
    assert run_cli(host, *create).output == "nothing to change\n"
    assert run_cli(host, "list").output.split()[4:11] == ["weekly", "0", "3", "*", "*", "1", "UTC"]
    (installed,) = cluster.recurring_runs.values()
    installed["description"] += " [bold]\x1b[2J"
    assert r"* * 1 UTC [bold]\x1b[2J" in run_cli(host, "list").output
    for command, state in (("pause", "DISABLED"), ("resume", "ENABLED")):
        assert run_cli(host, command, NAME).exit_code == 0
        assert next(iter(cluster.recurring_runs.values()))["status"] == state
    assert run_cli(host, "delete", NAME).exit_code == 0
    assert not cluster.recurring_runs
    assert run_cli(host).exit_code == 2
    misplaced = CliRunner().invoke(cli, ["schedule", "--host", host, "list"])
    assert misplaced.exit_code == 2
    assert "Received before it: host" in misplaced.output


FILE = """
schedules:
- name: weekly
  cron: 0 3 * * 1
  pipeline: training
  image: registry.example/two-tower:1
  parameters:
    train_path: s3://logs/train.tsv
    valid_path: s3://logs/valid.tsv
    test_path: s3://logs/test.tsv
    batch_size: 64
    evaluate_ks: [5, 20]
- name: nightly
  cron: 0 1 * * *
  time_zone: Asia/Tokyo
  enabled: false
  pipeline: training
  preset: sample
  image: registry.example/two-tower:1
  parameters:
    train_path: s3://logs/train.tsv
    valid_path: s3://logs/valid.tsv
    test_path: s3://logs/test.tsv
"""


def test_a_file_is_applied_as_a_whole(
    cluster: FakeKfp, host: str, schedules: KfpSchedules, tmp_path: Path, wanted: Schedule
) -> None:
    path = tmp_path / "schedules.yaml"
    path.write_text(FILE)
    assert read_schedules(path, "kfp")[0] == wanted
    forgotten = dataclasses.replace(wanted, name="forgotten")
    schedules.apply(forgotten)
    assert run_cli(host, "apply", str(path)).exit_code == 0
    names = {run["display_name"]: run["status"] for run in cluster.recurring_runs.values()}
    assert names == {"forgotten": "ENABLED", "weekly": "ENABLED", "nightly": "DISABLED"}
    kfp_schedules._create(schedules.client, forgotten, prepare_version(schedules.client, forgotten.submission))
    assert "- forgotten" in run_cli(host, "apply", str(path), "--prune", "--dry-run").output
    assert len(cluster.recurring_runs) == 4
    assert run_cli(host, "apply", str(path), "--prune").exit_code == 0
    assert len(cluster.recurring_runs) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "schedules: 3",
        "schedules: [3]",
        "a: [",
        "schedules: [{name: a}]",
        "schedules: [{name: a, cron: '* * * * *', every: 1}]",
        FILE.replace("nightly", "weekly"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "schedules.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"Expected [\s\S]* Received: "):
        read_schedules(path, "kfp")
