"""Opt-in: `python -m pytest -m cluster` where KF_PIPELINES_ENDPOINT names a Kubeflow Pipelines API.

The runs in pods need more:

- TWO_TOWER_CLUSTER_IMAGE: the image, which the nodes have or can pull;
- TWO_TOWER_CLUSTER_LOGS: an `s3://` folder that the pods can read and this machine can write;
- TWO_TOWER_CLUSTER_SECRET: the secret with which the pods read it;
- TWO_TOWER_CLUSTER_ARTIFACTS: the pipeline root as this machine reads it, such as `s3://mlpipeline/v2/artifacts`;
- the AWS_* variables with which this machine reads and writes both.
"""

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from factories import PATHS, SMALL_LOG

from components.core.logs.files import find_files
from components.image import IMAGE
from pipeline.__main__ import cli
from pipeline.cluster.cron import Cron
from pipeline.cluster.kubeflow.client import connect
from pipeline.cluster.kubeflow.runs import prepare_version
from pipeline.cluster.kubeflow.schedules import KfpSchedules
from pipeline.cluster.schedule import Schedule
from pipeline.cluster.submission import Submission
from pipeline.tasks import Tasks

pytestmark = pytest.mark.cluster
NAMES = ("IMAGE", "LOGS", "SECRET", "ARTIFACTS")
SMALL_MODEL = ["query_tower=mean", "embedding_dim=16", "num_negatives=64", "max_epochs=1", "refit=false"]
# The small log has sessions already.
COLUMNS = ["session_column=SessionId", "item_column=ItemId", "time_column=Time", "event_column="]
# Values that differ from machine to machine and from run to run.
TIMES = ("seconds", "targets_per_second", "peak_memory_bytes", "checkpoint_dir")


def to_options(settings: list[str]) -> list[str]:
    return [option for setting in settings for option in ("--set", setting)]


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """The values of a JSON document by their path, without times."""
    if not isinstance(value, dict | list):
        return {path: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        key: one for name, each in pairs if name not in TIMES for key, one in flatten(each, f"{path}/{name}").items()
    }


@pytest.fixture
def settings() -> dict[str, str]:
    missing = [name for name in NAMES if not os.environ.get(f"TWO_TOWER_CLUSTER_{name}")]
    if missing or "KF_PIPELINES_ENDPOINT" not in os.environ:
        pytest.skip(f"KF_PIPELINES_ENDPOINT or TWO_TOWER_CLUSTER_{missing} is not set")
    return {name: os.environ[f"TWO_TOWER_CLUSTER_{name}"].rstrip("/") for name in NAMES}


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("pipeline", ["training", "retraining"])
def test_a_run_in_pods_measures_what_a_local_run_measures(
    settings: dict[str, str], pipeline: str, tmp_path: Path
) -> None:
    from obstore.store import S3Store

    paths = SMALL_LOG.write(tmp_path / "log")
    folder = f"{settings['LOGS']}/{uuid.uuid4()}"
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    store = S3Store(bucket, prefix=prefix, client_options={"allow_http": True})
    for path in paths.values():
        store.put(path.name, path)
    if pipeline == "training":
        local = [f"{split}_path={path}" for split, path in paths.items()]
        remote = [f"{split}_path={folder}/{path.name}" for split, path in paths.items()]
    else:
        local, remote = ([f"log_path={place}", *COLUMNS] for place in (tmp_path / "log", folder))
    command = ["submit", "--pipeline", pipeline, "--image", settings["IMAGE"]]
    command += ["--object-store-secret", settings["SECRET"], *to_options([*remote, *SMALL_MODEL])]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) <= 2 + 2 * 8
    run_id = done.stdout.splitlines()[0].rpartition("/")[2]
    place = f"{settings['ARTIFACTS']}/two-tower-{pipeline}/{run_id}/evaluate/*/metrics"
    (found,) = find_files(place)
    with found.open_stream() as stream:
        metrics = json.loads(stream.read())
    command = ["run", "--output", str(tmp_path / "output"), *to_options([*local, *SMALL_MODEL])]
    assert CliRunner().invoke(cli, command, catch_exceptions=False).exit_code == 0
    of_local_run = json.loads((tmp_path / "output" / "metrics.json").read_text())
    del of_local_run["run"]  # how to repeat it, which only a local run adds
    assert flatten(metrics) == flatten(of_local_run)


def test_a_wrong_path_has_its_cause(settings: dict[str, str]) -> None:
    remote = [f"{split}_path={settings['LOGS']}/nowhere/{split}.tsv" for split in ("train", "valid", "test")]
    command = ["submit", "--image", settings["IMAGE"], "--object-store-secret", settings["SECRET"]]
    done = CliRunner().invoke(cli, [*command, *to_options(remote)], catch_exceptions=False)
    assert done.exit_code == 3
    assert "two-tower: ingest failed in attempt 1: FileNotFoundError: Expected a file" in done.stderr


@pytest.mark.timeout(900)
def test_a_pod_that_finds_no_room_ends_the_command(settings: dict[str, str]) -> None:
    command = ["submit", "--image", settings["IMAGE"], "--resource", "ingest.cpu=1000"]
    command += ["--resource", "ingest.cpu_limit=1000", "--pending-minutes", "2", "--cancel-pending"]
    done = CliRunner().invoke(cli, [*command, *to_options([f"{name}={path}" for name, path in PATHS.items()])])
    assert done.exit_code == 6
    assert "needs 1000 CPUs, no node has them free: --resource ingest.cpu=500" in done.stderr


def test_a_schedule_comes_changes_and_goes() -> None:
    if "KF_PIPELINES_ENDPOINT" not in os.environ:
        pytest.skip("KF_PIPELINES_ENDPOINT is not set")
    client = connect(
        token=os.environ.get("KF_PIPELINES_TOKEN", ""), namespace=os.environ.get("KF_PIPELINES_NAMESPACE", "")
    )
    submission = Submission(pipeline="training", tasks=Tasks(image=IMAGE, platform="kfp"), parameters=PATHS)
    assert prepare_version(client, submission) == prepare_version(client, submission)
    schedules = KfpSchedules(client=client)
    name = f"test-{uuid.uuid4()}"
    try:
        for expression in ("0 3 1 1 *", "0 4 1 1 *"):
            wanted = Schedule(name=name, cron=Cron(expression=expression), submission=submission, enabled=False)
            assert schedules.apply(wanted)
            assert schedules.apply(wanted) == []
            (installed,) = [one for one in schedules.find() if one.name == name]
            assert installed.times == f"{expression} UTC"
    finally:
        if any(one.name == name for one in schedules.find()):
            schedules.delete(name)
