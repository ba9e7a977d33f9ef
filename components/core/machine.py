"""What the machine, or the part of it that a container has, lets this process use."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa


def count_cpus(root: Path = Path("/")) -> int:
    """Number of CPUs that this process may use, at least 1.

    These are the CPUs of its affinity, but not more than the CPU quota of its control groups (version 1 or 2, that of
    a pod among them), rounded up. `os.cpu_count` counts those of the whole machine.

    Args:
        root: where the files of `/proc` and `/sys` are.
    """
    quotas = [quota for folder in _control_groups(root) for quota in _read_quota(folder)]
    return max(1, min([len(os.sched_getaffinity(0)), *map(math.ceil, quotas)]))


def limit_arrow_threads() -> None:
    """Lets pyarrow use no more threads than there are CPUs for them."""
    pa.set_cpu_count(min(pa.cpu_count(), count_cpus()))


def limit_tensorflow_threads() -> None:
    """Lets TensorFlow use no more threads than there are CPUs, where these are not the whole machine's.

    It changes nothing once TensorFlow has run an operation in this process.
    """
    num_cpus = count_cpus()
    if num_cpus < (os.cpu_count() or 1):
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(num_cpus)
            tf.config.threading.set_inter_op_parallelism_threads(num_cpus)


def _control_groups(root: Path) -> Iterator[Path]:
    """Folders of the groups of this process that may have a CPU quota, from the innermost to the mount.

    A container sees its own group as the mount, while its path may be that on the node.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        names = [name for name in path.split("/") if name and name != ".."]
        yield from (mount.joinpath(*names[:length]) for length in range(len(names), -1, -1))


def _read_quota(folder: Path) -> Iterator[float]:
    """The quota of a control group in CPUs, if it has one."""
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        quota, period = map(int, (folder / "cpu.max").read_text().split())
        yield quota / period
    with contextlib.suppress(OSError, ValueError):
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        if quota > 0:
            yield quota / period
