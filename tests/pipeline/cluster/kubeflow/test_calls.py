"""A server that misbehaves over real sockets: every command ends in time, with a line, and starts one run."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from factories import PATHS
from kfp_server import FakeKfp, Fault
from kubeflow_case import load

from pipeline.__main__ import cli
from pipeline.cluster.kubeflow import runs as kfp_runs
from pipeline.cluster.kubeflow.api import check_answer
from pipeline.cluster.kubeflow.client import Client, connect, explain_errors
from pipeline.cluster.kubeflow.schedules import KfpSchedules
from pipeline.cluster.submission import ClusterError, Submission

SUBMIT = ["submit", "--no-follow", "--image", "registry.example/two-tower:1"]
SUBMIT += [f"--set={name}={value}" for name, value in PATHS.items()]
START = r"POST .*/runs$"


@pytest.fixture
def client(host: str) -> Client:
    return connect(host=host)


def list_schedules(client: Client) -> Any:
    with explain_errors("the server"):
        return KfpSchedules(client=client).find()


def expect_refusal(action: Callable[[], Any], *, seconds: float, message: str) -> None:
    start = time.monotonic()
    with pytest.raises(ClusterError, match=message):
        action()
    assert time.monotonic() - start < seconds


@pytest.mark.parametrize(
    "fault",
    [
        Fault(calls="GET .*/recurringruns", seconds_per_byte=0.05),
        Fault(calls="GET .*/recurringruns", seconds_per_byte=30),
    ],
    ids=["slow bytes", "silence"],
)
def test_an_answer_that_does_not_end_is_given_up(cluster: FakeKfp, client: Client, fault: Fault) -> None:
    cluster.faults = [fault]
    client.deadline.restart(0.5)
    expect_refusal(lambda: list_schedules(client), seconds=2, message=r"Received: no answer within 0\.5 s")


def test_the_deadline_holds_for_all_calls_together(cluster: FakeKfp, client: Client) -> None:
    # Each page comes in time, the list never ends.
    cluster.page_tokens = "endless"
    client.deadline.restart(0.5)
    expect_refusal(lambda: list_schedules(client), seconds=2, message=r"Received: no answer within 0\.5 s")
    assert len(cluster.calls) > 10


def test_a_page_that_comes_again_is_an_error_at_once(cluster: FakeKfp, client: Client) -> None:
    cluster.page_tokens = "repeated"
    expect_refusal(
        lambda: list_schedules(client), seconds=5, message="the same page 'again' of the recurring_runs twice"
    )


def test_a_server_that_asks_to_wait_too_long_is_not_waited_for(cluster: FakeKfp, client: Client) -> None:
    cluster.faults = [Fault(calls="GET .*/recurringruns", status=503, headers={"retry-after": "3600"}, body=b"")]
    expect_refusal(lambda: list_schedules(client), seconds=5, message=r"Received: 503 .*Retry-After: 3600")


def test_a_server_that_asks_to_wait_a_second_is_waited_for(cluster: FakeKfp, client: Client) -> None:
    cluster.faults = [Fault(calls="GET .*/recurringruns", times=1, status=429, headers={"retry-after": "1"}, body=b"")]
    start = time.monotonic()
    assert list_schedules(client) == []
    assert time.monotonic() - start >= 1


ANSWERS = {
    "HTML": (b"<html>Log in</html>", "text/html; charset=utf-8"),
    "HTML called JSON": (b"<html>Log in</html>", "application/json"),
    "nothing": (b"", "application/json"),
    "null": (b"null", "application/json"),
    "list": (b"[]", "application/json"),
    "text": (b'"recurringRuns"', "application/json"),
    "number": (b"3", "application/json"),
    "other fields": (b'{"items": []}', "application/json"),
    "not UTF-8": (b'{"recurringRuns": "\xff"}', "application/json"),
    "unknown charset": (b"{}", "application/json; charset=klingon"),
    "deep": (b"[" * 100_000, "application/json"),
    "not a list": (b'{"recurringRuns": 3}', "application/json"),
    "object for a list": (b'{"recurringRuns": {"a": 1}}', "application/json"),
    "null in a list": (b'{"recurringRuns": [null]}', "application/json"),
    "text in a list": (b'{"recurringRuns": ["a"]}', "application/json"),
    "no id": (b'{"recurringRuns": [{"display_name": "a"}]}', "application/json"),
    "wrong type": (b'{"recurringRuns": [{"recurring_run_id": "a", "trigger": 3}]}', "application/json"),
    "no time": (b'{"recurringRuns": [{"recurring_run_id": "a", "created_at": "soon"}]}', "application/json"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_not_the_api_s_is_said(cluster: FakeKfp, host: str, name: str) -> None:
    body, kind = ANSWERS[name]
    cluster.faults = [Fault(calls="GET .*/recurringruns", body=body, headers={"content-type": kind})]
    done = CliRunner().invoke(cli, ["schedule", "list", "--host", host])
    assert isinstance(done.exception, ClusterError), done.output
    assert str(done.exception).startswith("Expected ")


def test_what_the_real_server_answers_is_taken() -> None:
    # It leaves empty fields out, lists nodes of the workflow without a name or state, and newer ones have more fields.
    seen = "2026-11-26T14:40:54Z"
    node = {"run_id": "r", "task_id": "t", "create_time": seen, "state_history": [{"update_time": seen}]}
    run = {
        "run_id": "r",
        "pipeline_version_reference": {"pipeline_id": "p"},
        "runtime_config": {"parameters": {"evaluate_ks": [1, 5], "refit": True}},
        "state": "RUNNING",
        "run_details": {"task_details": [{**node, "child_tasks": [{"pod_name": "p"}]}, {}]},
        "field_of_tomorrow": {"a": 1},
    }
    check_answer(run, "V2beta1Run")
    check_answer({"runs": [run], "total_size": 1}, "V2beta1ListRunsResponse")
    check_answer(
        {"recurringRuns": [{"recurring_run_id": "r", "max_concurrency": "1"}]}, "V2beta1ListRecurringRunsResponse"
    )
    for kind in ("V2beta1ListRunsResponse", "V2beta1GetHealthzResponse", "object"):
        check_answer({}, kind)


CREATE = ["schedule", "--pipeline", "training", "--cron", "0 3 * * 1", *SUBMIT[2:]]


@pytest.mark.parametrize(
    ("command", "calls"),
    [
        *((command, f"GET .*/{kind}") for command in (SUBMIT, CREATE) for kind in ("pipelines", "experiments")),
        (SUBMIT, r"GET .*/versions"),
        (SUBMIT, r"GET .*/runs$"),
        (SUBMIT, r"POST .*/(pipelines|upload_version|experiments)$"),
        (CREATE, r"POST .*/recurringruns$"),
    ],
)
def test_every_answer_is_checked(cluster: FakeKfp, host: str, command: list[str], calls: str) -> None:
    bodies = [b"null", b"[]", b"<html></html>", b'{"other": 1}', b'{"run_id": ""}', b"{}"]
    for body in bodies[: -1 if calls.startswith("GET") else None]:  # {} is an empty list, as the real server writes it
        cluster.faults = [Fault(calls=calls, body=body, carried_out=False)]
        done = CliRunner().invoke(cli, [*command, "--host", host])
        assert isinstance(done.exception, ClusterError), (body, done.output)
    assert not cluster.runs
    assert not cluster.recurring_runs


@pytest.mark.parametrize(
    "fault",
    [
        Fault(calls=START, times=1, reset=True),
        Fault(calls=START, times=1, reset=True, carried_out=False),
        Fault(calls=START, times=2, reset=True, carried_out=False),
        Fault(calls=START, times=1, status=502, body=b"<html>Bad gateway</html>"),
        Fault(calls=START, times=1, status=504, carried_out=False, body=b"\xff"),
        Fault(calls=START, times=1, body=b"<html>Log in</html>"),
        Fault(calls=START, times=1, body=b"null"),
    ],
    ids=[
        "reset after",
        "reset before",
        "reset twice",
        "bad gateway after",
        "timeout before",
        "HTML after",
        "null after",
    ],
)
def test_a_start_without_an_answer_makes_one_run(cluster: FakeKfp, host: str, fault: Fault) -> None:
    cluster.faults = [fault]
    done = CliRunner().invoke(cli, [*SUBMIT, "--host", host])
    assert done.exit_code == 0, done.exception
    (run_id,) = cluster.runs
    assert done.output == f"{host}/#/runs/details/{run_id}\n"


def test_a_refusal_is_not_repeated(cluster: FakeKfp, client: Client, submission: Submission) -> None:
    for status in (400, 500):
        cluster.faults = [Fault(calls=START, status=status, carried_out=False, body=b'{"error": "the quota"}')]
        calls = len(cluster.calls)
        with pytest.raises(ClusterError, match=f"{status}.*the quota"), explain_errors("the server"):
            kfp_runs.start_run(client, submission)
        assert not any(call.startswith("POST") and call.endswith("/runs") for call in cluster.calls[calls:])
        assert cluster.faults[0].times == 999_999
    assert not cluster.runs


def run_submit(host: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*SUBMIT, "--host", host, *arguments])


def test_a_command_that_is_repeated_by_the_run_s_name_starts_no_second_run(cluster: FakeKfp, host: str) -> None:
    # The server is gone right after it started the run: only a person can try again.
    cluster.faults = [Fault(calls=START, reset=True), Fault(calls="GET .*/runs$", times=1)]
    cluster.faults.append(Fault(calls="GET .*/runs$", reset=True))
    failed = run_submit(host)
    assert isinstance(failed.exception, ClusterError)
    (name,) = {word.rstrip(":") for word in str(failed.exception).split() if word.startswith("training-")}
    cluster.faults = []
    (run,) = cluster.runs.values()
    assert run["display_name"] == name
    done = run_submit(host, "--run-name", name)
    assert done.output == f"{host}/#/runs/details/{run['run_id']}\n"
    assert len(cluster.runs) == 1
    assert run_submit(host).exit_code == 0
    assert len(cluster.runs) == 2
    assert "Received: 'Weekly run'" in str(run_submit(host, "--run-name", "Weekly run").exception)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(calls="GET .*/runs/", times=8, reset=True),
        Fault(calls="GET .*/runs/", times=2, status=503, carried_out=False, body=b"no upstream"),
        Fault(calls="GET .*/runs/", times=2, status=500, carried_out=False, body=b'{"error": "the database is away"}'),
        Fault(calls="GET .*v1beta1.*/runs/", times=1, body=b"<html>Bad gateway</html>"),
    ],
    ids=["connection", "gateway", "database", "page"],
)
def test_a_cluster_that_goes_away_is_waited_for(cluster: FakeKfp, host: str, fault: Fault) -> None:
    case = load("succeeded")
    cluster.faults, cluster.script = [fault], [case.end]
    done = CliRunner().invoke(cli, [SUBMIT[0], *SUBMIT[2:], "--host", host])
    assert done.exit_code == 0, done.output
    away, back = done.stderr.splitlines()
    assert away.startswith("two-tower: The cluster does not answer; the run continues, and so does this command. ")
    assert re.fullmatch(r"two-tower: The cluster answers again, after \d+ s\.", back)
    assert "train                succeeded      15 s" in done.stdout


def test_a_cluster_that_stays_away_is_waited_for_until_the_limit(cluster: FakeKfp, host: str) -> None:
    cluster.faults = [Fault(calls="GET .*/runs/", reset=True)]
    done = CliRunner().invoke(cli, [SUBMIT[0], *SUBMIT[2:], "--host", host, "--timeout-hours", "0"])
    assert done.exit_code == 5
    (run,) = cluster.runs
    assert "Received: unknown; the cluster does not answer. The run continues" in done.stderr
    assert f"two-tower runs follow {run} --host {host}" in done.stderr


def test_a_token_that_expires_leaves_the_way_back(cluster: FakeKfp, host: str) -> None:
    cluster.faults = [Fault(calls="GET .*/runs/", status=401, carried_out=False, body=b"{}")]
    done = CliRunner().invoke(cli, [SUBMIT[0], *SUBMIT[2:], "--host", host])
    assert isinstance(done.exception, ClusterError)
    (run,) = cluster.runs
    assert f"The run continues; to follow it again: two-tower runs follow {run} --host {host}" in str(done.exception)


def test_a_command_takes_the_limit(cluster: FakeKfp, host: str) -> None:
    cluster.faults = [Fault(calls="GET .*/recurringruns", seconds_per_byte=0.05)]
    start = time.monotonic()
    done = CliRunner().invoke(cli, ["schedule", "list", "--host", host, "--calls-seconds", "1"])
    assert "no answer within 1 s" in str(done.exception)
    assert time.monotonic() - start < 4


@pytest.mark.parametrize(
    "fault", [Fault(calls="healthz", seconds_per_byte=0.05), Fault(calls="experiments", body=b"null")]
)
def test_a_server_that_is_not_kfp_is_known_from_the_first_calls(cluster: FakeKfp, host: str, fault: Fault) -> None:
    cluster.faults = [fault]
    expect_refusal(lambda: connect(host=host, calls_seconds=0.5), seconds=3, message=f"Pipelines API at {host}")
