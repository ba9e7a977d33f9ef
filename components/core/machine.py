"""Limits on the CPUs and threads that this process may use, on a machine or in a container."""

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from components.core.quiet_start import list_devices


def count_cpus(root: Path = Path("/")) -> int:
    """Number of CPUs that this process may use, at least 1.

    This is the number of CPUs in the affinity mask of the process or the CPU quota of its control groups (version 1
    or 2, including those of a pod), rounded up, whichever is lower. `os.cpu_count` ignores both.

    Args:
        root: folder that contains `/proc` and `/sys`.
    """
    quotas = [quota for folder in _control_groups(root) for quota in _read_quota(folder)]
    return max(1, min([len(os.sched_getaffinity(0)), *map(math.ceil, quotas)]))


def limit_arrow_threads() -> None:
    """Limits the threads of pyarrow to the number of CPUs that this process may use."""
    pa.set_cpu_count(min(pa.cpu_count(), count_cpus()))


def configure_tensorflow(*, num_streams: int = 1) -> None:
    """Limits the threads of TensorFlow to the CPUs that this process may use, and lets GPUs compute in float32.

    It also starts the drivers of the devices, without the messages that take the absence of a GPU for an error.

    By default, TensorFlow rounds the factors of float32 matrix products to the 11 significant bits of TF32 on GPUs that
    support it, so scores would differ from those of a CPU by 1e-4. The limit on the threads has no effect after
    TensorFlow has run an operation in this process.

    Args:
        num_streams: number of large operations that run at the same time; each gets its share of the threads. It has no
            effect where a GPU computes them.
    """
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)
    _start_devices()
    if tf.config.list_physical_devices("GPU"):
        num_streams = 1
    num_cpus = count_cpus()
    if num_streams > 1 or num_cpus < (os.cpu_count() or 1):
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(math.ceil(num_cpus / num_streams))
            tf.config.threading.set_inter_op_parallelism_threads(num_cpus)


@functools.cache  # once, since it redirects the standard error of all threads
def _start_devices() -> None:
    list_devices()


def _control_groups(root: Path) -> Iterator[Path]:
    """Yields the folders of the CPU control groups of this process, from the innermost to the mount point.

    In a container the group is at the mount point, although `/proc` may give its path on the node.
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
    """Yields the quota of a control group in CPUs, if it has one."""
    with contextlib.suppress(OSError, ValueError):  # "max" means no quota
        quota, period = map(int, (folder / "cpu.max").read_text().split())
        yield quota / period
    with contextlib.suppress(OSError, ValueError):
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        if quota > 0:
            yield quota / period
