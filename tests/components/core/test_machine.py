import os
import subprocess
import sys

import pyarrow as pa
import pytest
import tensorflow as tf

from components.core import machine

V1 = "4:memory:/pod\n3:cpuset:/pod\n2:cpu,cpuacct:/pod/container\n"


@pytest.fixture
def sixteen_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)


def make_root(folder, groups, **files):
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def in_v1(folder, quota, period=100_000):
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("groups", "files", "num_cpus"),
    [
        ("0::/\n", {}, 16),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "6400000 100000\n"}, 16),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "unheard of\n"}, 16),
        # The node's path, of which the container sees the last folder as the mount.
        ("0::/kubepods/pod1/abc\n", {"sys/fs/cgroup/cpu.max": "150000 50000\n"}, 3),
        ("0::/../other\n", {"sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        # The narrowest of the groups around the process.
        ("0::/user/job\n", {"sys/fs/cgroup/user/cpu.max": "400000 100000\n",
                            "sys/fs/cgroup/user/job/cpu.max": "max 100000\n"}, 4),
        (V1, in_v1("sys/fs/cgroup/cpu", -1), 16),
        (V1, in_v1("sys/fs/cgroup/cpu", 350_000), 4),
        (V1, in_v1("sys/fs/cgroup/cpu/pod/container", 350_000), 4),
        (V1, {**in_v1("sys/fs/cgroup/cpu/pod", 200_000), **in_v1("sys/fs/cgroup/cpu/pod/container", -1)}, 2),
        ("1:name=systemd:/\n2:cpu:/\n0::/\n", in_v1("sys/fs/cgroup/cpu", 10_000), 1),
    ],
)  # fmt: skip
def test_a_quota_limits_the_cpus(tmp_path, sixteen_cpus, groups, files, num_cpus):
    assert machine.count_cpus(make_root(tmp_path, groups, **files)) == num_cpus


def test_without_control_groups_it_is_the_affinity(tmp_path, sixteen_cpus, monkeypatch):
    assert machine.count_cpus(tmp_path) == 16
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert machine.count_cpus(tmp_path) == 1


def test_this_machine_has_some():
    assert 1 <= machine.count_cpus() <= os.cpu_count()


def test_arrow_gets_no_more_threads_than_cpus(monkeypatch):
    before = pa.cpu_count()
    try:
        pa.set_cpu_count(8)
        monkeypatch.setattr(machine, "count_cpus", lambda: 3)
        machine.limit_arrow_threads()
        assert pa.cpu_count() == 3
        monkeypatch.setattr(machine, "count_cpus", lambda: 5)
        machine.limit_arrow_threads()
        assert pa.cpu_count() == 3
    finally:
        pa.set_cpu_count(before)


def test_gpus_compute_in_float32():
    tf.config.experimental.enable_tensor_float_32_execution(True)  # TensorFlow's default
    machine.configure_tensorflow()
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


LIMIT = """
import os
import components.core
from components.core import machine
machine.count_cpus = lambda: {num_cpus}
os.cpu_count = lambda: 4
import tensorflow as tf
machine.configure_tensorflow(num_streams={num_streams})
print(tf.config.threading.get_intra_op_parallelism_threads())
tf.constant(1) + 1
machine.count_cpus = lambda: 1
machine.configure_tensorflow()
print(tf.config.threading.get_intra_op_parallelism_threads())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_cpus", "num_streams", "num_threads"), [(3, 1, 3), (4, 1, 0), (4, 2, 2), (3, 2, 2), (1, 2, 1)]
)
def test_tensorflow_gets_no_more_threads_than_a_quota_lets_it_use(num_cpus, num_streams, num_threads):
    """0 is TensorFlow's own choice, left where there is no quota. After its first operation nothing changes."""
    ran = subprocess.run(
        [sys.executable, "-c", LIMIT.format(num_cpus=num_cpus, num_streams=num_streams)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [str(num_threads)] * 2
