"""Resources and limits of the tasks on a cluster, and how they are changed with `--resource`."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

_CPU = r"\d+(\.\d+)?|\d+m"
_BYTES = r"\d+(\.\d+)?(Ki|Mi|Gi|Ti|k|M|G|T)?"
# How the values of the fields are written, and an example; other fields are whole numbers from 0.
_FORMATS = {
    "cpu": (_CPU, "2 or 500m"),
    "cpu_limit": (_CPU, "2 or 500m"),
    "memory": (_BYTES, "4Gi or 512Mi"),
    "memory_limit": (_BYTES, "4Gi or 512Mi"),
    "shared_memory": (_BYTES, "4Gi or 512Mi"),
}
_FACTORS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def _measure(quantity: str) -> float:
    """Returns a Kubernetes quantity as a number."""
    number = quantity.rstrip("".join({letter for unit in _FACTORS for letter in unit}))
    return float(number) * _FACTORS.get(quantity[len(number) :], 1.0)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Resources and limits of a task on a cluster.

    Attributes:
        cpu: CPU request, by which a node is chosen.
        cpu_limit: CPU limit; on Vertex, it selects the machine type.
        memory: memory request, in Kubernetes notation.
        memory_limit: memory limit, beyond which the task is killed; on Vertex, it selects the machine type.
        shared_memory: size of /dev/shm, which counts towards the memory limit; empty for the runtime's 64 MiB.
        timeout_hours: time limit of an attempt, after which the pod is killed and the attempt has failed.
        num_retries: maximum number of retries, after 1, 2, 4, ... minutes.
        accelerated: whether the task gets the pipeline's accelerators.

    Raises:
        ValueError: a request is above its limit, or the time limit is below an hour.
    """

    cpu: str = "100m"
    cpu_limit: str = "2"
    memory: str = "1Gi"
    memory_limit: str = "4Gi"
    shared_memory: str = ""
    timeout_hours: int = 2
    num_retries: int = 2
    accelerated: bool = False

    def __post_init__(self) -> None:
        for request, limit in (("cpu", "cpu_limit"), ("memory", "memory_limit")):
            if _measure(getattr(self, request)) > _measure(getattr(self, limit)):
                raise ValueError(
                    f"Expected {request} to be at most {limit}, {getattr(self, limit)}. "
                    f"Received: {getattr(self, request)}"
                )
        if self.timeout_hours < 1:
            raise ValueError(f"Expected timeout_hours to be at least 1. Received: {self.timeout_hours}")


# The requests are small: with them, the pipelines fit a node of 2 CPUs and 8 GiB beside Kubernetes and Kubeflow. The
# limits are sized for logs of about ten million events. Other components get the defaults.
RESOURCES = {
    "ingest": Resources(memory_limit="16Gi", num_retries=4),
    "sessionize": Resources(cpu="200m", cpu_limit="8", memory="2Gi", memory_limit="32Gi", num_retries=4),
    "train": Resources(
        cpu="200m",
        cpu_limit="8",
        memory="2Gi",
        memory_limit="32Gi",
        shared_memory="2Gi",
        timeout_hours=24,
        accelerated=True,
    ),
    "evaluate": Resources(cpu_limit="8", memory_limit="16Gi"),
    "export": Resources(memory_limit="16Gi"),
    "verify": Resources(memory_limit="16Gi"),
    "report": Resources(memory_limit="16Gi"),
    "publish": Resources(memory_limit="16Gi"),
    "recommend": Resources(cpu_limit="8", memory_limit="16Gi", timeout_hours=24),
}
# The fields that can be changed.
FIELDS = tuple(field.name for field in dataclasses.fields(Resources) if field.name != "accelerated")
# Those that mean something on Kubernetes alone: Vertex chooses a machine by the limits.
KUBERNETES_FIELDS = ("cpu", "memory", "shared_memory", "timeout_hours")


def get_resources(task: str, changes: Sequence[str] = ()) -> Resources:
    """Returns the resources of a task.

    Args:
        task: name of its component.
        changes: texts `TASK.FIELD=VALUE`; a later one overrides an earlier one.

    Raises:
        ValueError: a text or a value is invalid.
    """
    resources = RESOURCES.get(task, Resources())
    values = {field: value for name, field, value in map(_parse, changes) if name == task}
    try:
        return dataclasses.replace(resources, **values)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"{error} for {task}") from error


def check_changes(changes: Sequence[str], tasks: Sequence[str], *, platform: str) -> None:
    """Checks texts `TASK.FIELD=VALUE`.

    Args:
        changes: the texts.
        tasks: names of all components.
        platform: where the tasks run.

    Raises:
        ValueError: a task or a field is unknown, a value is invalid, or the field has no effect on the platform.
    """
    for change in changes:
        task, field, _ = _parse(change)
        if task not in tasks:
            raise ValueError(f"Expected a task of a pipeline, one of {', '.join(tasks)}. Received: {change}")
        if platform == "vertex" and field in KUBERNETES_FIELDS:
            fields = [each for each in FIELDS if each not in KUBERNETES_FIELDS]
            raise ValueError(
                f"Expected a resource that has an effect on vertex, one of {', '.join(fields)}. Received: {change}"
            )
        get_resources(task, changes)


def _parse(change: str) -> tuple[str, str, str | int]:
    name, equals, value = change.partition("=")
    task, dot, field = name.partition(".")
    if not equals or not dot or field not in FIELDS:
        raise ValueError(f"Expected TASK.FIELD=VALUE with one of the fields {', '.join(FIELDS)}. Received: {change}")
    pattern, example = _FORMATS.get(field, (r"\d+", "2"))
    if not re.fullmatch(pattern, value) and not (field == "shared_memory" and not value):
        raise ValueError(f"Expected {name} to be written like {example}. Received: {value!r}")
    return task, field, value if field in _FORMATS else int(value)
