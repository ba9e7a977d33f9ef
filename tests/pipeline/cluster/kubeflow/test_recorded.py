"""What `submit` prints, and how it ends, where a real API server answered as recorded."""

import pytest
from click.testing import CliRunner, Result
from factories import PATHS
from kfp_server import FakeKfp
from kubeflow_case import CASES, Case, load

from pipeline.__main__ import cli

SUBMIT = ["submit", "--image", "registry.example/two-tower:1", *(f"--set={name}={PATHS[name]}" for name in PATHS)]
# The exit code, what is printed after the address of the run, and what is printed on stderr.
EXPECTED: dict[str, tuple[int, str, list[str]]] = {
    "succeeded": (
        0,
        """\
ingest               succeeded       4 s
vocabulary           succeeded       5 s
train                succeeded      15 s
evaluate             succeeded       9 s
export               succeeded      10 s
SUCCEEDED {url}""",
        [],
    ),
    "pod-lost-and-retried": (
        0,
        """\
ingest               succeeded       4 s
vocabulary           succeeded       4 s
train                succeeded     195 s  attempt 2
evaluate             succeeded      11 s
export               succeeded      11 s
SUCCEEDED {url}""",
        [],
    ),
    "task-failed": (
        3,
        """\
ingest               failed          4 s  FileNotFoundError: Expected a file, a folder with files or a matching glob. \
Received: s3://logs/sample/trian.tsv
FAILED {url}""",
        [
            "ingest failed in attempt 1: FileNotFoundError: Expected a file, a folder with files or a matching glob. "
            "Received: s3://logs/sample/trian.tsv",
            "the whole log: two-tower runs logs {run} ingest --host {host}",
        ],
    ),
    "out-of-memory": (
        3,
        """\
ingest               succeeded       4 s
vocabulary           succeeded       4 s
train                failed          8 s  killed at its memory limit of 32Gi: --resource train.memory_limit=64Gi
FAILED {url}""",
        [
            "train failed in attempt 1: killed at its memory limit of 32Gi: --resource train.memory_limit=64Gi",
            "the whole log: two-tower runs logs {run} train --host {host}",
        ],
    ),
    "unschedulable": (
        6,
        """\
ingest               waits       needs 100m CPUs, no node has them free: --resource ingest.cpu=50m (0/1 nodes are \
available: 1 Insufficient cpu)""",
        [
            "ingest has not started for {minutes} minutes: needs 100m CPUs, no node has them free: --resource "
            "ingest.cpu=50m (0/1 nodes are available: 1 Insufficient cpu)",
            "the run continues; to follow it again: two-tower runs follow {run} --host {host}",
            "to end it: two-tower runs cancel {run} --host {host}",
        ],
    ),
    "image-cannot-be-pulled": (
        6,
        """\
ingest               waits       the image two-tower:0.1.0-nope cannot be pulled: push it, or name another with \
--image; a private registry needs image_pull_secrets in the file of --platform (lookup registry.example: no such \
host)""",
        [
            "ingest has not started for {minutes} minutes: the image two-tower:0.1.0-nope cannot be pulled: push it, "
            "or name another with --image; a private registry needs image_pull_secrets in the file of --platform "
            "(lookup registry.example: no such host)",
            "the run continues; to follow it again: two-tower runs follow {run} --host {host}",
            "to end it: two-tower runs cancel {run} --host {host}",
        ],
    ),
    "secret-missing": (
        6,
        """\
ingest               waits       the secret no-such-secret does not exist in the namespace of the run: create it, or \
name another with --object-store-secret""",
        [
            "ingest has not started for {minutes} minutes: the secret no-such-secret does not exist in the namespace "
            "of the run: create it, or name another with --object-store-secret",
            "the run continues; to follow it again: two-tower runs follow {run} --host {host}",
            "to end it: two-tower runs cancel {run} --host {host}",
        ],
    ),
    "terminated": (4, "ingest               cancelled     100 s\nCANCELED {url}", []),
}


def run_submit(cluster: FakeKfp, host: str, case: Case, *looks: dict[str, object]) -> Result:
    cluster.logs = case.logs
    cluster.script = [*looks, case.end]
    return CliRunner().invoke(cli, [*SUBMIT, "--host", host], catch_exceptions=False)


def read_minutes(result: Result) -> str:
    """The time since the recording, as it is printed."""
    words = result.stderr.split()
    return words[words.index("minutes:") - 1] if "minutes:" in words else ""


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_printed(cluster: FakeKfp, host: str, name: str) -> None:
    done = run_submit(cluster, host, load(name))
    code, lines, errors = EXPECTED[name]
    (run,) = cluster.runs
    url = f"{host}/#/runs/details/{run}"
    assert done.stdout.splitlines() == [url, *lines.format(url=url).splitlines()]
    values = {"host": host, "run": run, "minutes": read_minutes(done)}
    assert done.stderr.splitlines() == [f"two-tower: {error.format(**values)}" for error in errors]
    assert done.exit_code == code


def test_every_recorded_case_is_tested() -> None:
    assert {*EXPECTED, "canceling"} == set(CASES)


def test_a_run_that_is_being_cancelled_is_followed_to_its_end(cluster: FakeKfp, host: str) -> None:
    # Its pod is still waiting for a node, but nobody waits for the pod any more.
    done = run_submit(cluster, host, load("terminated"), load("canceling").end)
    assert done.exit_code == 4
    assert "cancelled" in done.stdout
    assert done.stderr == ""


def test_five_tasks_make_at_most_twelve_lines(cluster: FakeKfp, host: str) -> None:
    case = load("succeeded")
    looks = [case.at(f"2026-11-26T14:{minute}:{second:02}Z") for minute in (30, 31, 32) for second in range(0, 60, 2)]
    done = run_submit(cluster, host, case, *looks)
    lines = done.stdout.splitlines()
    assert len(lines) == 12
    events = [tuple(line.split()[:2]) for line in lines[1:-1]]
    tasks = ["ingest", "vocabulary", "train", "evaluate", "export"]
    assert sorted(events) == sorted((task, word) for task in tasks for word in ("started", "succeeded"))
    assert all(events.index((task, "started")) < events.index((task, "succeeded")) for task in tasks)


def test_a_lost_pod_is_said_and_its_second_attempt(cluster: FakeKfp, host: str) -> None:
    case = load("pod-lost-and-retried")
    times = ["14:22:00", "14:23:00", "14:24:50", "14:25:20"]
    done = run_submit(cluster, host, case, *(case.at(f"2026-11-26T{time}Z") for time in times))
    assert [line for line in done.stdout.splitlines() if line.startswith("train")] == [
        "train                started",
        "train                failed         72 s  attempt 1: its pod was lost, for instance with its node (pod "
        "deleted); the cluster tries again or gives up after its wait",
        "train                started     attempt 2",
        "train                succeeded     195 s  attempt 2",
    ]
    assert done.exit_code == 0


def test_a_failure_is_said_before_the_cluster_reports_it(cluster: FakeKfp, host: str) -> None:
    # The backoff of the retries passes before the cluster reports even a failure that it does not retry.
    case = load("task-failed")
    done = run_submit(cluster, host, case, case.at("2026-11-26T14:33:50Z"))
    first, second = (line for line in done.stdout.splitlines() if line.startswith("ingest"))
    assert "attempt 1: FileNotFoundError: Expected a file" in first
    assert second == "ingest               failed          4 s"


def test_a_process_killed_without_its_pod_was_killed_at_the_memory_limit(cluster: FakeKfp, host: str) -> None:
    # Where the limit kills only the task's process, the node says no more than that the pod has ended with 1.
    case = load("out-of-memory")
    for node in case.workflow["status"]["nodes"].values():
        if "message" in node:
            node["message"] = node["message"].replace("OOMKilled (exit code 1)", "Error (exit code 1)")
    done = run_submit(cluster, host, case)
    assert "train failed in attempt 1: killed at its memory limit of 32Gi: --resource train.memory_limit=64Gi" in (
        done.stderr
    )
    assert done.exit_code == 3


def test_an_error_of_the_driver_is_that_of_its_log(cluster: FakeKfp, host: str) -> None:
    case = load("task-failed")
    nodes = case.workflow["status"]["nodes"]
    (driver,) = (node for node in nodes.values() if node["displayName"] == "ingest-driver(0)")
    driver.update(phase="Failed", message="main: Error (exit code 1)")
    kept = {key: node for key, node in nodes.items() if ".ingest(0)" not in node["name"]}
    case.workflow["status"]["nodes"] = kept
    pod = f"two-tower-training-qqhk5-system-container-driver-{driver['id'].rpartition('-')[2]}"
    cluster.logs = {pod: "F1126 14:33:47.352174       1 main.go:88] KFP driver: no such volume\n"}
    cluster.script = [case.end]
    done = CliRunner().invoke(cli, [*SUBMIT, "--host", host], catch_exceptions=False)
    message = "ingest failed in attempt 1: KFP's driver pod of it: KFP driver: no such volume"
    assert done.stderr.splitlines()[0] == f"two-tower: {message}"


def test_a_log_that_is_gone_leaves_the_exit_code(cluster: FakeKfp, host: str) -> None:
    cluster.script = [load("task-failed").end]
    done = CliRunner().invoke(cli, [*SUBMIT, "--host", host], catch_exceptions=False)
    assert "two-tower: ingest failed in attempt 1: Error (exit code 1)" in done.stderr
    assert done.exit_code == 3


def test_a_run_without_tasks_says_what_the_workflow_says(cluster: FakeKfp, host: str) -> None:
    workflow = {"metadata": {"name": "w"}, "status": {"phase": "Failed", "message": "invalid spec: no templates"}}
    cluster.script = [{"state": "FAILED", "workflow": workflow}]
    done = CliRunner().invoke(cli, [*SUBMIT, "--host", host])
    assert done.stderr == "two-tower: the run failed: invalid spec: no templates\n"
    assert done.exit_code == 3


def test_a_server_without_the_first_api_still_shows_the_tasks(cluster: FakeKfp, host: str) -> None:
    case = load("out-of-memory")
    fields = {name: value for name, value in case.end.items() if name != "workflow"}
    cluster.script = [{**fields, "workflow": {}}]
    done = CliRunner().invoke(cli, [*SUBMIT, "--host", host])
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:-1]] == [
        ["ingest", "succeeded"],
        ["vocabulary", "succeeded"],
        ["train", "failed"],
    ]
    assert done.exit_code == 3
