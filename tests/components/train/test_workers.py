"""Trainings of several processes on this machine, as Kubeflow's Trainer and Vertex AI start them, against one alone."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.train.parameters import TrainParameters
from components.train.step import train_model

pytestmark = pytest.mark.slow

SETTINGS = {
    "query_tower": "last_item",
    "embedding_dim": 16,
    "batch_size": 512,
    "num_negatives": 64,
    "max_epochs": 2,
    "max_session_length": 8,
    "dropout": 0.0,
    "input_dropout": 0.0,
    "mask_rate": 0.0,
}
# Two replicas in one process, as on two GPUs; CPU devices can be multiplied at will.
ON_TWO_DEVICES = """
import sys
import components.core, tensorflow as tf
from components.train import distribution
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from components.train import __main__, step
step.make_strategy = lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
__main__.main()
"""


def start(program: list[str], artifacts: tuple[Path, Path], folder: Path, **settings: object) -> subprocess.Popen[str]:
    options = {
        "events": artifacts[0], "vocabulary": artifacts[1], "model": folder / "model", "tensorboard": folder / "logs"
    }  # fmt: skip
    options |= {name.replace("_", "-"): value for name, value in {**SETTINGS, **settings}.items()}
    arguments = [f"--no-{name}" if value is False else f"--{name}={value}" for name, value in options.items()]
    folder.mkdir(exist_ok=True)
    with (folder / "output.txt").open("w") as output:
        return subprocess.Popen(
            [sys.executable, *program, "--no-refit", *arguments], stdout=output, stderr=subprocess.STDOUT, text=True
        )


@pytest.fixture
def start_workers(small_artifacts, tmp_path, monkeypatch):
    """Starts two workers that share checkpoints; what is left of them is killed in the end."""
    processes = []

    def start_two(name, **settings):
        with socket.socket() as first, socket.socket() as second:
            for each in (first, second):
                each.bind(("127.0.0.1", 0))
            addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (first, second)]
        for index in range(2):
            task = {"type": "worker", "index": index}
            monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": addresses}, "task": task}))
            processes.append(
                start(
                    ["-m", "components.train"], small_artifacts, tmp_path / f"{name}-{index}",
                    checkpoint_root=tmp_path / "checkpoints", **settings,
                )
            )  # fmt: skip
        monkeypatch.delenv("TF_CONFIG")
        return processes[-2:]

    yield start_two
    for process in processes:
        process.kill()
        process.wait()


def train_alone(artifacts, folder, **settings):
    parameters = TrainParameters(**{**SETTINGS, "refit": False, **settings})
    train_model(*artifacts, folder / "model", folder / "logs", parameters)
    return read_metrics(folder)


def read_metrics(folder):
    document = json.loads((folder / "model" / "assets.extra" / "training.json").read_text())
    return [
        {name: value for name, value in epoch.items() if name not in ("seconds", "targets_per_second")}
        for epoch in document["selection"]
    ]


def assert_same(metrics, expected):
    assert len(metrics) == len(expected)
    for mine, other in zip(metrics, expected, strict=True):
        assert mine["mean_loss"] == pytest.approx(other["mean_loss"], rel=1e-5)
        # Of 1,600 ranks one may turn, where two items score alike but for the order of a sum.
        assert mine == pytest.approx(other, abs=0.001)


def test_a_lost_worker_ends_the_other_and_both_resume_to_what_one_alone_trains(
    start_workers, small_artifacts, tmp_path
):
    lost, other = start_workers("first")[::-1]
    deadline = time.monotonic() + 120
    while not list((tmp_path / "checkpoints").glob("*/selection/history.json")):
        assert lost.poll() is None
        assert other.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    lost.kill()
    assert other.wait(timeout=120) != 0
    assert not (tmp_path / "first-0" / "model").exists()
    for process in start_workers("second"):
        assert process.wait(timeout=120) == 0
    output = (tmp_path / "second-0" / "output.txt").read_text()
    assert "epoch 1/2" not in output
    assert "epoch 2/2" in output
    assert_same(read_metrics(tmp_path / "second-0"), train_alone(small_artifacts, tmp_path / "alone"))
    # Worker 1 writes nothing but what it prints.
    assert [path.name for path in (tmp_path / "second-1").iterdir()] == ["output.txt"]


def test_two_devices_share_their_in_batch_negatives(small_artifacts, tmp_path):
    settings = {"loss": "in_batch", "pointer": False}
    process = start(["-c", ON_TWO_DEVICES], small_artifacts, tmp_path / "two", **settings)
    assert process.wait(timeout=120) == 0, (tmp_path / "two" / "output.txt").read_text()[-2000:]
    assert_same(read_metrics(tmp_path / "two"), train_alone(small_artifacts, tmp_path / "alone", **settings))


def test_two_devices_learn_and_serve_the_same_pointer(small_artifacts, tmp_path):
    process = start(["-c", ON_TWO_DEVICES], small_artifacts, tmp_path / "two")
    assert process.wait(timeout=120) == 0, (tmp_path / "two" / "output.txt").read_text()[-2000:]
    assert_same(read_metrics(tmp_path / "two"), train_alone(small_artifacts, tmp_path / "alone"))
    served = [
        tf.saved_model.load(str(tmp_path / name / "model")).model.pointer.served.numpy() for name in ("two", "alone")
    ]
    assert served[0].any()
    np.testing.assert_allclose(*served, atol=0.01)
