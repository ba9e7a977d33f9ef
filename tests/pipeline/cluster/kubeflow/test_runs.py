import dataclasses
import http.server
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, tzinfo

import pytest
import urllib3
from click.testing import CliRunner, Result
from factories import PATHS
from kfp_server import FakeKfp

from components.image import SOURCE_VERSION
from pipeline.__main__ import cli
from pipeline.cluster.kubeflow import client as kfp_client
from pipeline.cluster.kubeflow import runs as kfp_runs
from pipeline.cluster.kubeflow.client import connect, explain_errors
from pipeline.cluster.submission import ClusterError, Submission, UnreachableError, check_run_name, make_run_name
from pipeline.tasks import Tasks

SETTINGS = [f"--set={name}={value}" for name, value in PATHS.items()]


def run_cli(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["submit", *SETTINGS, "--image", "registry.example/two-tower:1", *arguments])


def test_a_run_with_its_version_and_parameters(cluster: FakeKfp, host: str, submission: Submission) -> None:
    run_id = kfp_runs.start_run(connect(host=host), submission).id
    run = cluster.runs[run_id]
    version = cluster.versions[run["pipeline_version_reference"]["pipeline_version_id"]]
    assert version["display_name"].startswith(f"{SOURCE_VERSION}-")
    assert cluster.specs[version["pipeline_version_id"]]["pipelineInfo"]["name"] == "two-tower-training"
    assert run["runtime_config"]["parameters"]["batch_size"] == 64
    assert cluster.experiments[run["experiment_id"]]["display_name"] == "two-tower"


def test_a_version_is_uploaded_once_for_the_same_settings(cluster: FakeKfp, host: str, submission: Submission) -> None:
    client = connect(host=host)
    for _ in range(2):
        kfp_runs.start_run(client, submission)
    assert len(cluster.versions) == 1
    for number in range(2):  # together more than a page of the server
        tasks = dataclasses.replace(submission.tasks, image=f"registry.example/two-tower:{number + 2}")
        kfp_runs.start_run(client, dataclasses.replace(submission, tasks=tasks))
    kfp_runs.start_run(client, submission)
    assert len(cluster.versions) == 3
    assert len(cluster.pipelines) == 1
    assert len(cluster.experiments) == 1


@pytest.mark.parametrize("applied", [False, True])
def test_broken_off_at_any_call_the_next_makes_no_second_version(
    cluster: FakeKfp, host: str, submission: Submission, applied: bool
) -> None:
    client = connect(host=host)
    num_calls = len(cluster.calls)
    for offset in range(20):
        cluster.drop_from, cluster.drop_applied = len(cluster.calls) + offset, applied
        try:
            with explain_errors(host):
                kfp_runs.start_run(client, submission)
            break
        except ClusterError:
            cluster.drop_from = None
    assert len(cluster.calls) > num_calls
    assert len(cluster.pipelines) == len(cluster.versions) == len(cluster.experiments) == 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"train_path": "a", "valid_path": "b"}, "test_path"),
        ({"train_path": "a", "valid_path": "b", "test_path": "c", "epochs": 3}, "'epochs'"),
        ({"train_path": "a", "valid_path": "b", "test_path": 3}, "type String"),
        ({"train_path": "a", "valid_path": "b", "test_path": "c", "random_seed": True}, "type Integer"),
        ({"train_path": "a", "valid_path": "b", "test_path": "c", "evaluate_ks": 10}, "evaluate_ks to be of the type"),
    ],
)
def test_parameters_are_checked_before_anything_is_sent(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Submission(pipeline="training", tasks=Tasks(image="r.io/x:1", platform="kfp"), parameters=parameters)


@pytest.mark.parametrize(("final", "code"), [("SUCCEEDED", 0), ("FAILED", 3), ("CANCELED", 4), ("SKIPPED", 0)])
def test_the_final_state_and_the_exit_code(cluster: FakeKfp, host: str, final: str, code: int) -> None:
    cluster.script = [{"state": "PENDING"}, {"state": "RUNNING"}, {"state": final}]
    done = run_cli("--host", host)
    assert done.exit_code == code, done.output
    url = f"{host}/#/runs/details/{next(iter(cluster.runs))}"
    assert done.stdout.splitlines() == [url, f"{final} {url}"]


def test_whoever_interrupts_the_command_learns_how_to_follow_the_run_again(
    cluster: FakeKfp, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.cluster.kubeflow.run.Run.look", interrupt)
    done = run_cli("--host", host)
    assert done.exit_code == 130
    (run,) = cluster.runs
    assert f"The run continues; to follow it again: two-tower runs follow {run} --host {host}" in done.output


def test_the_name_and_the_description_of_a_run_say_what_it_is(cluster: FakeKfp, host: str) -> None:
    assert run_cli("--host", host, "--no-follow", "--preset", "sample", "--set", "batch_size=64").exit_code == 0
    (run,) = cluster.runs.values()
    # Cut after 30 characters, names still say when the run began, and from what.
    assert re.fullmatch(r"training-\d{4}-\d{6}-sample-logs-.*-[0-9a-f]{8}", run["display_name"])
    assert "-embedding-dim-64-" in run["display_name"]
    assert len(run["display_name"]) <= 80
    assert run["description"] == (
        "training, preset sample; train_path=s3://logs/train.tsv, valid_path=s3://logs/valid.tsv, "
        "test_path=s3://logs/test.tsv; embedding_dim=64, num_negatives=512, max_epochs=6, refit=False, batch_size=64"
    )


def test_a_description_has_room_in_the_cluster_whatever_it_says(cluster: FakeKfp, host: str) -> None:
    parameters = {name: f"s3://logs/{'x' * 100}/{name}.tsv" for name in PATHS}
    submission = Submission(pipeline="training", tasks=Tasks(platform="kfp"), parameters=parameters)
    kfp_runs.start_run(connect(host=host), submission)
    (run,) = cluster.runs.values()
    assert len(run["description"]) == 255
    assert run["description"].startswith(f"training; train_path=s3://logs/{'x' * 100}/train_path.tsv, valid_path=")
    assert run["description"].endswith(" ...")


@pytest.mark.parametrize(
    ("pipeline", "parameters", "data"),
    [
        ("training", PATHS, "logs"),
        ("training", {name: f"s3://b/shop/{name}.tsv.gz" for name in PATHS}, "shop"),
        ("retraining", {"serving_uri": "s3://models/shop", "log_path": "s3://logs/days/"}, "days"),
        ("retraining", {"log_path": "s3://logs/Events.2015.csv"}, "events"),
        ("retraining", {"log_path": "s3://logs/*.csv"}, ""),
    ],
)
def test_the_name_of_a_run_has_the_data(pipeline: str, parameters: dict[str, str], data: str) -> None:
    submission = Submission(
        pipeline=pipeline, tasks=Tasks(image="r.io/x:1", platform="kfp"), parameters=parameters, preset="default"
    )
    name = make_run_name(submission)
    assert check_run_name(name) == name
    assert re.fullmatch(rf"{pipeline}-\d{{4}}-\d{{6}}{f'-{data}' if data else ''}-[0-9a-f]{{8}}", name)


def test_what_tells_runs_apart_is_in_the_part_of_a_name_that_the_page_shows() -> None:
    parameters = {**PATHS, "embedding_dim": 16, "learning_rate": 0.02, "random_seed": 7, "query_tower": "mean"}
    submission = Submission(
        pipeline="training", tasks=Tasks(image="r.io/x:1", platform="kfp"), parameters=parameters, preset="fast"
    )
    name = make_run_name(submission)
    assert re.fullmatch(r"training-\d{4}-\d{6}-fast-logs-embedding-dim-16-[0-9a-z-]*[0-9a-f]{8}", name)
    assert len(name) <= 80
    assert name != make_run_name(submission)


@pytest.mark.parametrize("pipeline", ["training", "retraining"])
def test_runs_of_a_series_within_a_minute_differ_where_the_page_cuts_a_name(
    pipeline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter((5, 59))

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls(2026, 11, 26, 14, 33, next(seconds), tzinfo=tz)

    monkeypatch.setattr("pipeline.cluster.submission.datetime", Clock)
    data = PATHS if pipeline == "training" else {"log_path": "s3://logs/days"}
    names = [
        make_run_name(
            Submission(
                pipeline=pipeline,
                tasks=Tasks(image="r.io/x:1", platform="kfp"),
                parameters={**data, "embedding_dim": 16, "num_negatives": 64, "max_epochs": 1, "learning_rate": rate},
                preset="default",
            )
        )
        for rate in (0.01, 0.02)
    ]
    shown = [name[:30] for name in names]
    assert shown[0].startswith(f"{pipeline}-1126-143305-")
    assert shown[1].startswith(f"{pipeline}-1126-143359-")


def test_a_log_of_this_machine_is_refused(host: str) -> None:
    done = run_cli("--host", host, "--set", "test_path=/data/test.tsv")
    assert isinstance(done.exception, ValueError)
    assert "beginning with s3:// or gs://. Received: '/data/test.tsv'" in str(done.exception)


def test_command_gives_up_waiting(cluster: FakeKfp, host: str) -> None:
    cluster.script = [{"state": "RUNNING"}]
    done = run_cli("--host", host, "--timeout-hours", "0")
    assert done.exit_code == 5
    assert "Received: RUNNING. The run continues; to follow it again: two-tower runs follow" in done.output


def test_command_does_not_wait_if_told_so(cluster: FakeKfp, host: str) -> None:
    assert run_cli("--host", host, "--no-follow").exit_code == 0
    assert len(cluster.runs) == 1


def test_a_wrong_token_is_named(cluster: FakeKfp, host: str, submission: Submission) -> None:
    cluster.token = "right"
    with pytest.raises(ClusterError, match=r"Expected a token .* Received: 401"):
        connect(host=host, token="wrong")
    assert kfp_runs.start_run(connect(host=host, token="right"), submission).id in cluster.runs


@pytest.fixture
def silent_host() -> Iterator[str]:
    """Takes connections and says nothing, as a wrong port behind a firewall does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def login_page() -> Iterator[str]:
    """Answers everything with a page, as a proxy does that wants a login."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>Log in</html>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("kind", ["silent_host", "login_page", "closed"])
@pytest.mark.usefixtures("cluster")
def test_a_wrong_host_is_named_within_ten_seconds(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kfp_client.PROBE_SECONDS < 10
    monkeypatch.setattr(kfp_client, "PROBE_SECONDS", 1)
    url = "http://127.0.0.1:9" if kind == "closed" else request.getfixturevalue(kind)
    start = time.monotonic()
    with pytest.raises(ClusterError, match=f"Expected a Kubeflow Pipelines API at {url}"):
        connect(host=url)
    assert time.monotonic() - start < 3


def test_a_refused_connection_is_all_that_the_message_says() -> None:
    message = (
        "Expected a Kubeflow Pipelines API at http://there (--host). Received: Failed to establish a new connection: "
    )
    with pytest.raises(UnreachableError) as raised, explain_errors("http://there"):
        urllib3.PoolManager(retries=1).request("GET", "http://127.0.0.1:9/apis/v2beta1/runs")
    assert str(raised.value).startswith(message)
    assert str(raised.value).removeprefix(message) == "[Errno 111] Connection refused"
