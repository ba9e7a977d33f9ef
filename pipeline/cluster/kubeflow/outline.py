"""The tasks of a compiled pipeline, as a cluster's API returns it: their names, their order and their resources."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TaskPath = tuple[str, ...]

# The group that KFP puts around an If and its Else; nobody has named it.
_UNNAMED = re.compile(r"condition-branches-\d+")

# The settings of an executor in the compiled pipeline, by the names of `pipeline.resources.Resources`.
_RESOURCES = {
    "cpu": "resourceCpuRequest",
    "cpu_limit": "resourceCpuLimit",
    "memory": "resourceMemoryRequest",
    "memory_limit": "resourceMemoryLimit",
}


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """A task of a compiled pipeline.

    Attributes:
        name: the task's name, after those of the groups that contain it and have a name.
        resources: values by the names of `pipeline.resources.Resources`; those that are not set are missing.
    """

    name: str
    resources: Mapping[str, str]


def read_outline(document: Mapping[str, Any]) -> dict[TaskPath, PlannedTask]:
    """Lists the tasks of a compiled pipeline by their path of keys, each after the tasks that it depends on.

    Args:
        document: a pipeline spec, alone or with a platform spec, as in a version of a pipeline or in a run.
    """
    spec = document.get("pipeline_spec", document)
    platforms = document.get("platform_spec", {}).get("platforms", {})
    pods = platforms.get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    return dict(_walk(spec, pods, spec.get("root", {}), (), ""))


def name_component(task: str) -> str:
    """Returns the name of a task's component, by which `--resource` knows it: `train` for `passed / train-2`.

    A second use gives a component's task a number, and a loop one in brackets.
    """
    return re.sub(r"(-\d+)?(\[\d+\])?$", "", task.rpartition(" / ")[2])


def _walk(
    spec: Mapping[str, Any], pods: Mapping[str, Any], component: Mapping[str, Any], path: TaskPath, prefix: str
) -> Iterator[tuple[TaskPath, PlannedTask]]:
    tasks = component.get("dag", {}).get("tasks", {})
    for key in _sort(tasks):
        name = f"{prefix}{tasks[key].get('taskInfo', {}).get('name') or key}"
        inner = spec.get("components", {}).get(tasks[key].get("componentRef", {}).get("name"), {})
        label = inner.get("executorLabel", "")
        executor = spec.get("deploymentSpec", {}).get("executors", {}).get(label, {})
        yield (*path, key), PlannedTask(name=name, resources=_read_resources(executor, pods.get(label, {})))
        yield from _walk(spec, pods, inner, (*path, key), prefix if _UNNAMED.fullmatch(key) else f"{name} / ")


def list_named(path: TaskPath) -> TaskPath:
    """Lists the keys of a path that are part of a task's name."""
    return (*(key for key in path[:-1] if not _UNNAMED.fullmatch(key)), *path[-1:])


def _sort(tasks: Mapping[str, Any]) -> list[str]:
    """Sorts the keys of tasks: each after its dependencies, otherwise in the given order."""
    order: list[str] = []

    def add(key: str) -> None:
        if key not in order:
            for dependency in tasks[key].get("dependentTasks", []):
                add(dependency)
            order.append(key)

    for key in tasks:
        add(key)
    return order


def _read_resources(executor: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, str]:
    settings = executor.get("container", {}).get("resources", {})
    found = {name: str(settings[key]) for name, key in _RESOURCES.items() if settings.get(key)}
    if pod.get("activeDeadlineSeconds"):
        found["timeout_hours"] = f"{int(pod['activeDeadlineSeconds']) / 3600:g}"
    return found
