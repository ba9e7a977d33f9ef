"""The image that `make image` built: what a cluster would pull."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import s3_server
from running_server import save_index
from s3_server import find_port
from webhook_server import serve as serve_webhook
from weekly_logs import SHOP, WEEKLY_SETTINGS, WEEKS

from components.core.serving.location import list_versions
from components.image import IMAGE, SOURCE_VERSION, USER_ID
from components.notify.step import WEBHOOK_VARIABLE

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

SMALL = ["--set", "max_epochs=2", "--set", "max_test_targets=2000"]
# What differs between two runs of the same training.
MEASURED = {"run", "seconds", "targets_per_second", "peak_memory_bytes"}


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout  # noqa: S607


def test_runs_as_a_user_on_a_read_only_file_system() -> None:
    code = (
        "import os, components.train.model, components.export.step, tensorflow as tf; "
        "print(os.getuid(), float(tf.reduce_sum(tf.ones([2, 2]))))"
    )
    printed = docker("run", "--rm", "--read-only", "--tmpfs=/tmp", "--network=none", IMAGE, "python", "-c", code)
    assert printed.split() == [str(USER_ID), "4.0"]


def test_holds_no_build_tools_and_no_project_files_beyond_the_components() -> None:
    code = "for tool in gcc cc make git; do command -v $tool; done; ls /opt/two-tower; ls /opt/venv/bin/pip*; true"
    assert docker("run", "--rm", "--network=none", IMAGE, "sh", "-c", code).split() == ["components"]


def test_labels_and_history() -> None:
    (inspected,) = json.loads(docker("image", "inspect", IMAGE))
    labels = inspected["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == SOURCE_VERSION
    assert labels["two-tower.accelerator"] == "cpu"
    assert inspected["Config"]["User"] == f"{USER_ID}:{USER_ID}"
    history = docker("history", "--no-trunc", "--format={{.CreatedBy}}", IMAGE)
    assert not re.search(r"https?://|--index-url|password|token", history, flags=re.IGNORECASE)


def leave_out_measured(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: leave_out_measured(item) for key, item in value.items() if key not in MEASURED}
    return [leave_out_measured(item) for item in value] if isinstance(value, list) else value


def test_containers_end_with_the_metrics_of_the_subprocess_runner(tmp_path: Path) -> None:
    documents = {}
    for runner in ("docker", "subprocess"):
        output = tmp_path / runner
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pipeline",
                "run",
                "--runner",
                runner,
                "--image",
                IMAGE,
                "--output",
                str(output),
                *SMALL,
            ],
            check=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        documents[runner] = json.loads((output / "metrics.json").read_text())
        assert (output / "index").is_dir()
    assert leave_out_measured(documents["docker"]) == leave_out_measured(documents["subprocess"])


@pytest.fixture(params=["moto", "seaweedfs"])
def bucket_access(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment variables that point clients to a server with the bucket `served`."""
    if request.param == "moto":
        serving = s3_server.serve("served")
    else:
        (tmp_path / "weed").mkdir()
        serving = s3_server.serve_seaweedfs("served", tmp_path / "weed")
    with serving as variables:
        yield variables


def test_a_retraining_in_containers_publishes_to_a_bucket_and_tells_the_webhook(
    tmp_path: Path, bucket_access: dict[str, str]
) -> None:
    SHOP.write(tmp_path / "log")
    with serve_webhook((200, b"ok")) as (url, bodies):
        subprocess.run(
            [
                *(sys.executable, "-m", "pipeline", "run", "--runner", "docker", "--image", IMAGE),
                *("--events", str(tmp_path / "log"), "--as-of", WEEKS[0], "--serving", "s3://served/models"),
                *("--output", str(tmp_path / "output")),
                *(option for setting in WEEKLY_SETTINGS for option in ("--set", setting)),
            ],
            check=True,
            env={**os.environ, **bucket_access, WEBHOOK_VARIABLE: url},
        )
        with pytest.MonkeyPatch.context() as patch:
            for name, value in bucket_access.items():
                patch.setenv(name, value)
            (published,) = list_versions("s3://served/models")
    assert published.document["verification"]["overlap"] > 0.5
    (told,) = map(json.loads, bodies)
    assert (told["status"], told["version"], told["serving_uri"]) == ("published", 1, "s3://served/models")
    printed = (tmp_path / "output" / "run.log").read_text()
    assert url not in printed
    assert bucket_access["AWS_SECRET_ACCESS_KEY"] not in printed


def test_a_task_that_fails_in_its_container_fails_the_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "run", "--runner", "docker", "--image", IMAGE]
    done = subprocess.run(
        [*command, "--output", str(tmp_path), "--set", "item_column=Nothing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "two-tower: ValueError: Expected " in done.stderr
    assert not (tmp_path / "metrics.json").exists()


def test_the_container_of_a_killed_run_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "run", "--runner", "docker", "--image", IMAGE]
    run = subprocess.Popen([*command, "--output", str(tmp_path)], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: bool(running_containers()))
    finally:
        run.kill()
        run.wait()
    wait_until(lambda: not running_containers())


def running_containers() -> list[str]:
    return docker("ps", "--quiet", f"--filter=ancestor={IMAGE}").split()


def test_the_image_serves_on_a_read_only_file_system(tmp_path: Path) -> None:
    save_index([f"i{number}" for number in range(20)], tmp_path / "index")
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)  # another user reads it
    port = find_port()
    options = ["--detach", "--rm", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--network=host"]
    command = ["python", "-m", "components.serve", "--serving=/models", f"--port={port}"]
    container = docker("run", *options, f"--volume={tmp_path}:/models:ro", IMAGE, *command).strip()
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_ready(address))
        answer = requests.post(f"{address}/v1/models/two_tower:predict", json={"instances": [["i1", "i2"]]}, timeout=30)
        assert len(answer.json()["predictions"][0]["item_ids"]) == 5
        assert "<title>" in requests.get(address, timeout=30).text
    finally:
        docker("stop", "--time=30", container)


def is_ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/v2/health/ready", timeout=10).ok
    except requests.ConnectionError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
