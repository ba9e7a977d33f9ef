"""`two-tower runs`, against the server of the tests."""

import io
import shlex
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import yaml
from click.testing import CliRunner, Result
from factories import PATHS
from kfp_server import FakeKfp
from kubeflow_case import load
from rich.console import Console

from pipeline.__main__ import cli
from pipeline.cluster.connection import select_run
from pipeline.cluster.kubeflow.outline import read_outline
from pipeline.cluster.progress import LiveTable, open_view
from pipeline.cluster.run import Cause, ListedRun, TaskState
from pipeline.cluster.submission import ClusterError
from pipeline.compilation import compile_pipeline
from pipeline.tasks import Tasks

SUBMIT = ["submit", "--no-follow", "--image", "registry.example/two-tower:1"]
SUBMIT += [f"--set={name}={value}" for name, value in PATHS.items()]

Runs = Callable[..., Result]


@pytest.fixture
def runs(host: str) -> Runs:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["runs", *arguments, "--host", host])

    return run


@pytest.fixture
def started(cluster: FakeKfp, host: str) -> str:
    """The id of a run that was started."""
    done = CliRunner().invoke(cli, [*SUBMIT, "--host", host, "--run-name", "weekly"], catch_exceptions=False)
    return done.output.strip().rpartition("/")[2]


def test_list_the_newest_first(cluster: FakeKfp, host: str, started: str, runs: Runs) -> None:
    for number in range(4):
        CliRunner().invoke(cli, [*SUBMIT, "--host", host, "--run-name", f"run-{number}"])
    cluster.runs[started].update({name: load("terminated").run[name] for name in ("state", "state_history")})
    for number, run in enumerate(cluster.runs.values()):
        run["created_at"] = f"2026-11-26T14:0{number}:00Z"
        run["finished_at"] = f"2026-11-26T14:1{number}:00Z"
    rows = [line.split() for line in runs("list").output.splitlines()]
    assert [row[0] for row in rows] == ["name", "run-3", "run-2", "run-1", "run-0", "weekly"]
    assert rows[-1] == ["weekly", "CANCELED", "2026-11-26", "14:00", "10.0", started]
    assert [line.split()[0] for line in runs("list", "--limit", "2").output.splitlines()[1:]] == ["run-3", "run-2"]
    assert runs("list", "--experiment", "other").output.split() == [
        "name",
        "state",
        "started",
        "(UTC)",
        "minutes",
        "id",
    ]
    assert "weekly" in runs("list", "--experiment", "").output


def test_no_text_of_the_server_commands_the_terminal(cluster: FakeKfp, started: str, runs: Runs) -> None:
    case = load("task-failed")
    hostile = "\x1b[2J\x1b]0;title\x07"
    cluster.script = [case.end]
    cluster.logs = {pod: log.replace("Expected a file", hostile) for pod, log in case.logs.items()}
    cluster.runs[started]["display_name"] = f"weekly{hostile}"
    cluster.runs[started]["description"] = hostile
    cluster.runs[started]["runtime_config"]["parameters"]["train_path"] = hostile
    shown = r"\x1b[2J\x1b]0;title\x07"
    assert f"\nweekly{shown}  " in runs("list", "--experiment", "").stdout
    for command in ("show", "follow"):
        done = runs(command, started)
        assert shown in done.stderr
        assert "\x1b" not in done.output
        assert "\x07" not in done.output
    assert {f"name: weekly{shown}", f"description: {shown}", f"  train_path: {shown}"} <= {
        *runs("show", started).stdout.splitlines()
    }


@pytest.mark.parametrize("pick", [lambda run: run, lambda run: run[:8], lambda _: "latest", lambda _: "week"])
def test_a_run_is_named_by_its_id_its_beginning_or_latest(
    cluster: FakeKfp, started: str, runs: Runs, pick: Callable[[str], str]
) -> None:
    cluster.script = [load("succeeded").end]
    done = runs("follow", pick(started))
    assert done.exit_code == 0, done.exception
    assert done.output.splitlines()[-1].startswith("SUCCEEDED ")
    assert done.output.splitlines()[-1].endswith(started)


def test_a_name_that_several_runs_or_none_have() -> None:
    listed = [
        ListedRun(id=f"{number}abc", name=name, state="RUNNING", created=datetime.now(tz=UTC), seconds=1)
        for number, name in enumerate(("night", "nightly"))
    ]
    assert select_run(listed, "night") == listed[0]
    assert select_run(listed, "nightl") == listed[1]
    assert select_run(listed, "1") == listed[1]
    with pytest.raises(ClusterError, match=r"Received: 'nig', and these match it: 0abc \(night\), 1abc \(nightly\)"):
        select_run(listed, "nig")
    with pytest.raises(ClusterError, match="Received: 'x', and the newest runs are: 0abc"):
        select_run(listed, "x")
    for text in ("", "latest"):
        with pytest.raises(ClusterError, match="the newest runs are: none"):
            select_run([], text)


def test_show_a_failed_run(cluster: FakeKfp, started: str, runs: Runs) -> None:
    case = load("task-failed")
    cluster.script, cluster.logs = [case.end], case.logs
    done = runs("show", started)
    assert done.exit_code == 0, done.exception
    assert "name: weekly\n" in done.stdout
    assert "  train_path: s3://logs/train.tsv\n" in done.stdout
    assert "FileNotFoundError: Expected a file" in done.stdout
    assert "two-tower: ingest failed in attempt 1: FileNotFoundError: Expected a file" in done.stderr
    # Those that have not started are listed too.
    for name in ("vocabulary", "train", "evaluate", "export"):
        assert any(line.split()[:1] == [name] for line in done.stdout.splitlines())


def test_the_whole_log_of_a_task(cluster: FakeKfp, started: str, runs: Runs) -> None:
    case = load("out-of-memory")
    cluster.script, cluster.logs = [case.end], case.logs
    by_end = {pod.rpartition("-")[2]: log for pod, log in case.logs.items()}
    assert runs("logs", started).output == by_end["4073747344"]  # the task that failed
    assert runs("logs", started, "train").output == by_end["4073747344"]
    assert runs("logs", started, "vocabulary").output == by_end["1919260064"]
    done = runs("logs", started, "export")
    assert "Expected a task that has started, one of: ingest, vocabulary, train. Received: 'export'" in str(
        done.exception
    )
    cluster.logs = {}
    assert "its log was not archived, as when the pod was lost or " in str(runs("logs", started, "train").exception)


def test_a_failure_without_a_log_says_so_and_advises_no_log(cluster: FakeKfp, started: str, runs: Runs) -> None:
    """As on a real back end whose object store was away for 60 s."""
    cluster.script, cluster.logs = [load("task-failed").end], {}
    for command in ("follow", "show"):
        done = runs(command, started)
        assert done.stderr == (
            "two-tower: ingest failed in attempt 1: Error (exit code 1) and no log, as when the object store is away; "
            "if it was, `runs retry` goes on\n"
        )


def test_a_log_that_can_be_read_later_is_read_later(
    cluster: FakeKfp, started: str, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = load("task-failed")
    cluster.script = [{**case.end, "state": "RUNNING"}, case.end]

    def archive(_: float) -> None:
        cluster.logs = case.logs

    monkeypatch.setattr("pipeline.cluster.following.time.sleep", archive)
    done = runs("follow", started)
    assert done.exit_code == 3, done.output
    assert "two-tower: ingest failed in attempt 1: FileNotFoundError: Expected a file" in done.stderr
    assert "the whole log: " in done.stderr


EXECUTOR = "metadata-0-2-retry-system-container-impl"
KILLED = "Epoch 1/6\nKilled\nF1126 14:33:47.352174      16 main.go:59] failed to execute component: exit status 137\n"


def test_what_is_advised_about_a_task_in_groups_can_be_done(cluster: FakeKfp, host: str) -> None:
    tasks = Tasks(image="registry.example/two-tower:1", platform="kfp")
    outline = read_outline(yaml.safe_load(compile_pipeline("retraining", tasks).text.partition("\n---\n")[0]))
    ((path, plan),) = ((path, plan) for path, plan in outline.items() if plan.name.endswith(" / train-2"))
    node = {
        "id": "weekly-1-42", "name": f"weekly-1(0).root(0).{'(0).'.join(path)}(0).executor(0)", "type": "Pod",
        "phase": "Failed", "templateName": EXECUTOR, "message": "main: Error (exit code 137)",
        "startedAt": "2026-11-26T12:00:00Z", "finishedAt": "2026-11-26T12:00:30Z",
    }  # fmt: skip
    workflow = {"metadata": {"name": "weekly-1"}, "status": {"phase": "Failed", "nodes": {node["id"]: node}}}
    cluster.script = [{"state": "FAILED", "workflow": workflow}]
    cluster.logs = {f"weekly-1-{EXECUTOR}-42": KILLED}
    submit = ["submit", "--pipeline", "retraining", "--image", tasks.image, "--set", "log_path=s3://logs/days"]
    done = CliRunner().invoke(cli, [*submit, "--host", host])
    assert done.exit_code == 3, done.exception
    failed, log = done.stderr.splitlines()
    advised = failed.partition("killed at its memory limit of 32Gi: ")[2]
    assert advised == "--resource train.memory_limit=64Gi"
    Tasks(image=tasks.image, platform="kfp", resources=(advised.split()[1],))
    # The words that a shell makes of the printed command.
    name, *words = shlex.split(log.partition("the whole log: ")[2])
    assert (name, words[-3:]) == ("two-tower", [plan.name, "--host", host])
    assert CliRunner().invoke(cli, words).output == KILLED


def test_cancel_and_retry(cluster: FakeKfp, started: str, runs: Runs) -> None:
    assert runs("cancel", started).exit_code == 0
    assert cluster.runs[started]["state"] == "CANCELING"
    assert "has ended" in str(runs("cancel", started).exception)
    assert isinstance(runs("retry", started).exception, ClusterError)
    cluster.runs[started]["state"] = "FAILED"
    done = runs("retry", started)
    assert done.exit_code == 0, done.exception
    assert cluster.runs[started]["state"] == "PENDING"
    assert f"to follow it: two-tower runs follow {started} --host " in done.output


def test_a_failure_after_the_retry_of_a_cancelled_run_is_a_failure(cluster: FakeKfp, started: str, runs: Runs) -> None:
    case = load("task-failed")
    cluster.logs = case.logs
    canceling, failed, running = (
        {"state": state, "update_time": f"2026-11-26T14:0{minute}:00Z"}
        for minute, state in enumerate(("CANCELING", "FAILED", "RUNNING"))
    )
    for history, code, state in (
        ([canceling, failed], 4, "CANCELED"),
        ([canceling, failed, running, failed], 3, "FAILED"),
    ):
        cluster.script = [{**case.end, "state_history": history}]
        done = runs("follow", started)
        assert done.exit_code == code, done.output
        assert done.stdout.splitlines()[-1].startswith(f"{state} ")
        assert ("ingest failed in attempt 1: FileNotFoundError" in done.stderr) == (state == "FAILED")
        assert f" {state} " in runs("list").output


def test_a_cancellation_that_the_history_lacks(cluster: FakeKfp, started: str, runs: Runs) -> None:
    """As on a real back end whose persistence agent was away from the cancellation to the end of the workflow."""
    case = load("terminated")
    history = [status for status in case.run["state_history"] if status["state"] != "CANCELING"]
    workflow = {**case.workflow, "spec": {"activeDeadlineSeconds": 0}}
    answer = {"created_at": case.run["created_at"], "state_history": history, "workflow": workflow}
    cluster.script = [{**case.end, **answer}]
    done = runs("follow", started)
    assert done.exit_code == 4, done.output
    assert "cancelled" in done.stdout
    assert "failed" not in done.output


def test_a_run_whose_pod_does_not_start_is_cancelled_if_told_so(cluster: FakeKfp, started: str, runs: Runs) -> None:
    cluster.script = [load("unschedulable").end]
    done = runs("follow", started, "--cancel-pending")
    assert done.exit_code == 6
    assert done.stderr.splitlines()[-1] == "two-tower: the run was cancelled (--cancel-pending)"
    assert cluster.runs[started]["state"] == "CANCELING"


def test_a_longer_wait_is_a_matter_of_the_option(cluster: FakeKfp, started: str, runs: Runs) -> None:
    cluster.script = [load("unschedulable").end, load("succeeded").end]
    done = runs("follow", started, "--pending-minutes", "1e9")
    assert done.exit_code == 0, done.output


def test_a_run_that_is_not_there(started: str, runs: Runs) -> None:
    for run in ("nothing", "00000000-0000-0000-0000-000000000000"):
        assert isinstance(runs("show", run).exception, ClusterError)


def test_credentials_are_not_printed(
    cluster: FakeKfp, host: str, started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.token = "secret"
    cluster.script = [load("unschedulable").end]
    arguments = ["runs", "follow", started, "--host", host, "--token", "secret", "--namespace", "team"]
    done = CliRunner().invoke(cli, arguments)
    assert f"two-tower runs cancel {started} --host {host} --namespace team" in done.output
    assert "secret" not in done.output
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", host)
    done = CliRunner().invoke(cli, ["runs", "follow", started, "--token", "secret"])
    assert done.stderr.splitlines()[-1] == f"two-tower: to end it: two-tower runs cancel {started}"


def test_a_terminal_has_one_table() -> None:
    console = Console(force_terminal=True, width=100, record=True, file=io.StringIO())
    with open_view(console) as view:
        assert isinstance(view, LiveTable)
        cause = Cause(kind="room", text="needs 4 CPUs [a/b] \x1b[2J")
        view.show(
            [TaskState(name="ingest", state="SUCCEEDED", seconds=3), TaskState(name="train", state="NOT_STARTED")]
        )
        view.say("The cluster answers again. [red]\x1b[2J")
        view.show([TaskState(name="train", state="PENDING", cause=cause, attempt=2)])
    text = console.export_text()
    assert r"two-tower: The cluster answers again. [red]\x1b[2J" in text
    assert r"attempt 2: needs 4 CPUs [a/b] \x1b[2J" in text
