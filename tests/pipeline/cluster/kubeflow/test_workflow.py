"""Groups, loops, exit handlers and the cache: nodes as KFP's compiler for Argo names them."""

import base64
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl
from kubeflow_case import FOLDER, load

from pipeline.cluster.kubeflow.outline import read_outline
from pipeline.cluster.kubeflow.workflow import read_nodes, read_tasks
from pipeline.compilation import compile_pipeline
from pipeline.tasks import Tasks

NOW = datetime(2026, 11, 26, 12, 1, tzinfo=UTC)
BEGIN = "2026-11-26T12:00:00Z"


@dsl.component(base_image="python:3.11")
def work(number: int = 0) -> bool:
    return number == 0


@dsl.pipeline(name="inner")
def inner() -> None:
    work().set_display_name("deep")


@dsl.pipeline(name="nested")
def nested() -> None:
    done = work().set_display_name("inform")
    with dsl.ExitHandler(done, name="guarded"):
        first = work().set_display_name("first")
        with dsl.If(first.output == True, name="passed"):  # noqa: E712
            work().set_display_name("publish")
        with dsl.ParallelFor([1, 2], name="sweep") as number:
            work(number=number).set_display_name("fit")
        inner()
        with dsl.If(first.output == True, name="refit"):  # noqa: E712
            inner().set_display_name("again")
        with dsl.Else(name="as-evaluated"):
            work().set_display_name("keep")


@pytest.fixture(scope="module")
def compile_to_document(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], dict[str, Any]]:
    def run(pipeline: Any) -> dict[str, Any]:
        path: Path = tmp_path_factory.mktemp("nested") / "nested.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        spec, *rest = yaml.safe_load_all(path.read_text())
        return {"pipeline_spec": spec, "platform_spec": rest[0]} if rest else spec

    return run


@pytest.fixture(scope="module")
def outline(compile_to_document: Callable[[Any], dict[str, Any]]) -> Any:
    return read_outline(compile_to_document(nested))


def make_node(name: str, phase: str = "Succeeded", kind: str = "Pod", template: str = "", **fields: str) -> Any:
    if not template:
        is_driver = name.removesuffix(")").rstrip("0123456789").rstrip("(").endswith("-driver")
        template = "system-container-driver" if is_driver else "metadata-0-2-retry-system-container-impl"
    ended = {"finishedAt": "2026-11-26T12:00:30Z"} if phase not in ("Pending", "Running") else {}
    node = {"name": f"nested-x{name}", "id": f"nested-x-{abs(hash(name))}", "type": kind, "phase": phase}
    return {**node, "templateName": template, "startedAt": BEGIN, **ended, **fields}


def make_workflow(*nodes: Any) -> dict[str, Any]:
    return {"metadata": {"name": "nested-x"}, "status": {"nodes": {node["id"]: node for node in nodes}}}


def read(outline: Any, *nodes: Any) -> dict[str, str]:
    return {task.name: task.state for task in read_tasks(make_workflow(*nodes), outline, now=NOW)}


def test_the_tasks_in_the_order_of_the_pipeline_before_anything_has_started(outline: Any) -> None:
    names = list(read(outline))
    assert sorted(names) == [
        "guarded / as-evaluated / keep", "guarded / first", "guarded / inner / deep", "guarded / passed / publish",
        "guarded / refit / again / deep", "guarded / sweep / fit", "inform",
    ]  # fmt: skip
    assert names.index("guarded / first") < names.index("guarded / passed / publish")
    assert names[-1] == "inform"


@pytest.mark.parametrize("count", ["(0)", ""], ids=["with retries", "without"])
def test_nested_groups_are_named(outline: Any, count: str) -> None:
    paths = {key: plan.name for key, plan in outline.items()}
    keys = {name: key for key, name in paths.items()}
    handler = keys["guarded / first"][0]
    root = f"{count}.root{count}.{handler}{count}"
    condition, loop = keys["guarded / passed"][-1], keys["guarded / sweep"][-1]
    again = keys["guarded / refit / again / deep"]
    branches = f"{root}.{again[1]}{count}"
    assert again[1].startswith("condition-branches-")
    items = f"{root}.{loop}{count}.iteration-iterations"
    found = read(
        outline,
        make_node(f"{root}.{keys['guarded / first'][-1]}{count}.executor{count}"),
        make_node(
            f"{root}.{condition}{count}.{keys['guarded / passed / publish'][-1]}{count}.executor{count}", "Running"
        ),
        make_node(
            f"{items}(0:0){count}.iteration-item{count}.{keys['guarded / sweep / fit'][-1]}{count}.executor{count}"
        ),
        make_node(
            f"{items}(1:1){count}.iteration-item{count}.{keys['guarded / sweep / fit'][-1]}{count}.executor{count}",
            "Running",
        ),
        make_node(f"{branches}.{keys['guarded / as-evaluated'][-1]}", "Skipped", "Skipped", "x"),
        make_node(f"{branches}.{'.'.join(key + count for key in again[2:])}.executor{count}", "Running"),
        make_node(f"{root}.inner{count}.{keys['guarded / inner / deep'][-1]}{count}.executor{count}", "Pending"),
        make_node(f"{count}.root{count}.{handler}.onExit{count}.{keys['inform'][-1]}{count}.executor{count}"),
    )
    assert found == {
        "guarded / first": "SUCCEEDED",
        "guarded / passed / publish": "RUNNING",
        "guarded / sweep[0] / fit": "SUCCEEDED",
        "guarded / sweep[1] / fit": "RUNNING",
        "guarded / as-evaluated": "SKIPPED",
        "guarded / refit / again / deep": "RUNNING",
        "guarded / inner / deep": "PENDING",
        "inform": "SUCCEEDED",
    }


def test_a_condition_that_is_false(outline: Any) -> None:
    keys = {plan.name: key for key, plan in outline.items()}
    handler, condition = keys["guarded / passed"]
    node = make_node(
        f"(0).root(0).{handler}(0).{condition}", "Skipped", "Skipped", "comp-condition-1",
        message="when 'false != false' evaluated false",
    )  # fmt: skip
    found = read(outline, node)
    assert found["guarded / passed"] == "SKIPPED"
    assert "guarded / passed / publish" not in found


def test_served_from_the_cache() -> None:
    driver = make_node("(0).root(0).train-driver(0)")
    executor = make_node(
        "(0).root(0).train(0).executor", "Skipped", "Skipped", message="when 'true != true' evaluated false"
    )
    assert read({}, driver, executor) == {"train": "CACHED"}


def test_an_earlier_failure_starts_nothing(outline: Any) -> None:
    node = make_node("(0).root(0).work", "Omitted", "Skipped", "x", message="omitted: depends condition not met")
    assert set(read(outline, node).values()) == {"NOT_STARTED"}


def test_a_driver_that_does_not_start_or_fails() -> None:
    message = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu. x"
    (task,) = read_tasks(
        make_workflow(make_node("(0).root(0).train-driver(0)", "Pending", message=message)), {}, now=NOW
    )
    assert (task.name, task.state, task.attempt_seconds) == ("train", "PENDING", 60)
    assert task.cause
    assert task.cause.text.startswith("KFP's driver pod of it: no node has the cpu free")
    failed = make_node("(0).root(0).train-driver(0)", "Failed", message="main: Error (exit code 1)")
    assert read({}, failed) == {"train": "FAILED"}
    retry = make_node("(0).root(0).train-driver", "Running", "Retry")
    assert read({}, failed, retry) == {"train": "RETRYING"}


def test_the_driver_of_the_pipeline_itself() -> None:
    node = make_node("(0).root-driver(0)", "Failed", template="system-dag-driver", message="pod deleted")
    assert read({}, node) == {"the pipeline": "FAILED"}


def test_attempts_are_counted() -> None:
    path = "(0).root(0).train(0).executor"
    retry = make_node(path, "Running", "Retry")
    attempts = [make_node(f"{path}({number})", "Error", message="pod deleted") for number in range(11)]
    (task,) = read_tasks(make_workflow(retry, *attempts), {}, now=NOW)
    assert (task.state, task.attempt) == ("RETRYING", 11)
    (task,) = read_tasks(make_workflow(retry, *attempts, make_node(f"{path}(11)", "Running")), {}, now=NOW)
    assert (task.state, task.attempt, task.cause) == ("RUNNING", 12, None)


def test_a_large_workflow_is_compressed() -> None:
    workflow = load("succeeded").workflow
    packed = base64.b64encode(gzip.compress(json.dumps(workflow["status"]["nodes"]).encode())).decode()
    assert read_nodes({"status": {"compressedNodes": packed}}) == read_nodes(workflow)


def test_the_log_of_an_attempt_is_that_of_its_pod() -> None:
    case = load("task-failed")
    (task,) = (task for task in read_tasks(case.workflow, {}, now=NOW) if task.state == "FAILED")
    assert [task.log_id] == list(case.logs)


def test_a_retraining_in_pods_as_the_cluster_reported_it() -> None:
    workflow = json.loads((FOLDER / "retraining" / "published.json").read_text())
    spec, *_ = yaml.safe_load_all(compile_pipeline("retraining", Tasks(platform="kfp")).text)
    tasks = read_tasks(workflow, read_outline(spec), now=NOW)
    assert [(task.name, task.state) for task in tasks if task.state != "SUCCEEDED"] == [
        ("retraining / passed / as-evaluated", "SKIPPED")
    ]
    assert [task.name for task in tasks if task.state == "SUCCEEDED"] == [
        *(f"retraining / {name}" for name in ("sessionize", "vocabulary", "train", "evaluate", "export", "gate")),
        *(
            f"retraining / passed / refit / {name}"
            for name in ("vocabulary-2", "train-2", "export-2", "verify", "publish")
        ),
        "retraining / report",
        "notify",
    ]
