"""Reads the tasks of a run from its Argo workflow.

A task of the pipeline is several nodes of the workflow, and each node's name is the path to it:
`WORKFLOW(0).root(0).GROUP(0).TASK(0).executor(1)` is the pod of the task's second attempt, and `...TASK-driver(0)` the
pod that KFP starts before it. Where the cluster retries nothing, the numbers in parentheses are missing. A loop has
`iteration-iterations(2:2)(0).iteration-item(0)` between itself and its tasks, an exit handler `onExit(0)` between
itself and its exit task.
"""

import base64
import gzip
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.cluster.kubeflow.causes import DRIVER_PREFIX, find_cause
from pipeline.cluster.kubeflow.outline import PlannedTask, TaskPath, list_named, name_component
from pipeline.cluster.run import (
    CACHED,
    CANCELED,
    FAILED,
    NOT_STARTED,
    PENDING,
    RETRYING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    Cause,
    TaskState,
)

_PART = re.compile(r"([^(]+)((?:\([^)]*\))*)")
_STATES = {"Pending": PENDING, "Running": RUNNING, "Succeeded": SUCCEEDED, "Failed": FAILED, "Error": FAILED}
_EXECUTOR = "system-container-impl"


@dataclass
class _Nodes:
    """The nodes of one task."""

    attempts: list[Mapping[str, Any]] = field(default_factory=list)
    drivers: list[Mapping[str, Any]] = field(default_factory=list)
    is_cached: bool = False
    is_skipped: bool = False
    is_retrying: bool = False


def read_nodes(workflow: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns the nodes of a workflow manifest; a large workflow has them compressed."""
    status = workflow.get("status") or {}
    nodes = status.get("nodes") or {}
    if status.get("compressedNodes"):
        nodes = json.loads(gzip.decompress(base64.b64decode(status["compressedNodes"])))
    return list(nodes.values())


def read_tasks(
    workflow: Mapping[str, Any],
    outline: Mapping[TaskPath, PlannedTask],
    *,
    now: datetime,
    cancelled: datetime | None = None,
) -> tuple[TaskState, ...]:
    """Reads the states of the tasks.

    Args:
        workflow: the manifest of the workflow.
        outline: the tasks of the compiled pipeline; empty if they are not known.
        now: until when the durations of running tasks are measured.
        cancelled: when the run was cancelled.

    Returns:
        The tasks in the order of the pipeline, with those that have not started. Groups are tasks only if their
        condition is false or their driver does not start or fails.
    """
    name = (workflow.get("metadata") or {}).get("name", "")
    found: dict[TaskPath, _Nodes] = {}
    for node in read_nodes(workflow):
        _sort_in(found, node)
    places = {path: place for place, path in enumerate(outline)}
    groups = {path[:-1] for path in outline}
    seen = {_without_items(path) for path in found}
    skipped = {path for path, nodes in found.items() if nodes.is_skipped}
    planned = [path for path in outline if not {path, *_list_groups(path)} & skipped and path not in seen | groups]
    order = sorted([*found, *planned], key=lambda path: (places.get(_without_items(path), len(places)), path))
    tasks = []
    for path in order:
        plan = outline.get(_without_items(path)) or PlannedTask(name=" / ".join(list_named(path)), resources={})
        task = _read_task(found.get(path, _Nodes()), _name(path, plan), plan, name, now, cancelled)
        if task.state != NOT_STARTED or path in planned:
            tasks.append(task)
    return tuple(tasks)


def read_details(
    details: Iterable[Any], outline: Mapping[TaskPath, PlannedTask], *, now: datetime
) -> tuple[TaskState, ...]:
    """Reads the states of the tasks without the workflow, from the task details of the API's second version.

    They are the nodes of the workflow without what connects them, so attempts, causes and logs are not known.

    Args:
        details: `run_details.task_details` of a run.
        outline: the tasks of the compiled pipeline; others are left out.
        now: until when the durations of running tasks are measured.
    """
    by_name = {detail.display_name: detail for detail in details if detail.state}
    groups = {path[:-1] for path in outline}
    tasks = []
    for path, plan in outline.items():
        detail = by_name.get(path[-1])
        if path in groups or detail is None:
            continue
        # The end time of a running task is a time long ago.
        ended = detail.end_time and detail.end_time >= detail.start_time
        seconds = _measure(detail.start_time, detail.end_time if ended else now)
        tasks.append(TaskState(name=plan.name, state=detail.state, seconds=seconds))
    return tuple(tasks)


def _sort_in(found: dict[TaskPath, _Nodes], node: Mapping[str, Any]) -> None:
    """Adds a node to those of its task; nodes of groups and those that never run are left out."""
    path, template, kind = _read_path(node.get("name", "")), node.get("templateName", ""), node.get("type")
    is_executor = template.endswith(_EXECUTOR) and path[-1:] == ("executor",)
    is_driver = template.endswith("-driver") and path[-1:] != () and path[-1].endswith("-driver")
    if is_executor:
        path = path[:-1]
    elif is_driver:
        path = (*path[:-1], path[-1].removesuffix("-driver"))
        path = path[:-1] if path[-1] in ("root", "iteration", "iteration-item") else path
    if kind == "Pod":
        nodes = found.setdefault(path, _Nodes())
        (nodes.drivers if is_driver else nodes.attempts).append(node)
    elif kind == "Skipped" and node.get("phase") == "Skipped" and path:
        nodes = found.setdefault(path, _Nodes())
        nodes.is_cached |= is_executor
        nodes.is_skipped |= not is_executor
    elif kind == "Retry" and (is_executor or is_driver):
        found.setdefault(path, _Nodes()).is_retrying |= node.get("phase") in ("Pending", "Running")


def _read_path(name: str) -> TaskPath:
    """Returns the keys of a node's groups and task, and its last part if that is an executor or a driver."""
    path: list[str] = []
    for part in name.split(".")[1:]:
        found = _PART.fullmatch(part)
        key, numbers = (found[1], found[2]) if found else (part, "")
        if key == "iteration-iterations" and path:
            path[-1] += f"[{numbers[1:].partition(':')[0]}]"
        elif key == "onExit" and path:
            del path[-1]
        elif key != "iteration-item":
            path.append(key)
    return tuple(path[1:] if path[:1] == ["root"] else path)


def _list_groups(path: TaskPath) -> list[TaskPath]:
    return [path[:length] for length in range(1, len(path))]


def _without_items(path: TaskPath) -> TaskPath:
    return tuple(key.partition("[")[0] for key in path)


def _name(path: TaskPath, plan: PlannedTask) -> str:
    """Returns the planned name of a task, with the numbers of the loops' items."""
    names, keys = plan.name.split(" / "), list_named(path)
    if len(names) != len(keys):
        return plan.name or "the pipeline"
    return " / ".join(name + "".join(key.partition("[")[1:]) for name, key in zip(names, keys, strict=True))


def _read_task(
    nodes: _Nodes, name: str, plan: PlannedTask, workflow: str, now: datetime, cancelled: datetime | None
) -> TaskState:
    pods = sorted(nodes.attempts or nodes.drivers, key=lambda node: (_number(node), node.get("startedAt") or ""))
    if nodes.is_skipped:
        return TaskState(name=name, state=SKIPPED)
    if nodes.is_cached:
        return TaskState(name=name, state=CACHED)
    if not pods:
        return TaskState(name=name, state=NOT_STARTED)
    last = pods[-1]
    state = _STATES.get(last.get("phase", ""), PENDING)
    ended = _read_time(last.get("finishedAt"))
    cause = _read_cause(last, name, plan, is_driver=not nodes.attempts) if state in (PENDING, FAILED) else None
    if not nodes.attempts and state in (RUNNING, SUCCEEDED):
        state = NOT_STARTED  # only its driver has run
    if state == FAILED and cancelled and ended and ended >= cancelled:
        state, cause = CANCELED, None
    elif state == FAILED and nodes.is_retrying:
        state = RETRYING
    return TaskState(
        name=name,
        state=state,
        seconds=_measure(_read_time(pods[0].get("startedAt")), ended or now),
        attempt=_number(last) + 1,
        attempt_seconds=_measure(_read_time(last.get("startedAt")), ended or now),
        cause=cause,
        log_id=f"{workflow}-{last.get('templateName')}-{last.get('id', '').rpartition('-')[2]}",
    )


def _read_cause(node: Mapping[str, Any], name: str, plan: PlannedTask, *, is_driver: bool) -> Cause:
    resources = {} if is_driver else plan.resources
    cause = find_cause(node.get("message") or "", component=name_component(name), resources=resources)
    if is_driver:
        return Cause(kind=cause.kind, text=DRIVER_PREFIX + cause.text, is_in_log=cause.is_in_log)
    return cause


def _number(node: Mapping[str, Any]) -> int:
    found = re.search(r"\((\d+)\)$", node.get("name", ""))
    return int(found[1]) if found else 0


def _read_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _measure(start: datetime | None, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds()) if start else 0.0
