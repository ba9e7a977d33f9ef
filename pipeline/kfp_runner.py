"""Runs a pipeline with KFP's local runner. When the calling process ends, its tasks end too."""

import contextlib
import inspect
import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import yaml
from google.protobuf import json_format
from kfp import components, dsl, local

from components.core.progress import SECONDS_VARIABLE
from pipeline import task_supervisor
from pipeline.display import Display
from pipeline.task_output import TaskOutput, kfp_logs_to

CACHE = ".cache"  # KFP's cache, in the pipeline root


class RunError(RuntimeError):
    """A task of a local run failed; the message is the task's error.

    Attributes:
        task: name of the task; empty if it is not known.
    """

    def __init__(self, message: str, *, task: str = "") -> None:
        super().__init__(message)
        self.task = task


def run_tasks(
    pipeline: Any,
    arguments: Mapping[str, Any],
    root: Path,
    runner: Any = None,
    *,
    display: Display,
    log: TextIO,
    keys: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Runs a pipeline's tasks. KFP's global configuration is restored afterwards.

    Args:
        pipeline: a pipeline, from source or loaded from its compiled YAML.
        arguments: values of the pipeline's parameters.
        root: KFP's pipeline root for this run; it stores each artifact as `<run>/<task>/<name>`.
        runner: KFP's local runner; by default, each task runs in a subprocess with this Python interpreter.
        display: shows the progress.
        log: gets everything that KFP and the tasks print.
        keys: keys of tasks whose result depends on their key alone, by the task's name. Such a task is not run if an
            earlier run with the same `root` has made its result.

    Returns:
        The pipeline's outputs by name.

    Raises:
        RunError: a task failed.
    """
    before = local.config.LocalExecutionConfig.instance
    output = TaskOutput(log, display)
    keys = keys or {}
    try:
        runner = runner or local.SubprocessRunner(use_venv=False)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as workspace, _open_pipe(Path(workspace, "run")):
            # KFP gives the tasks of both runners access to the workspace, and replaces its placeholder in commands.
            local.init(
                runner,
                pipeline_root=str(root),
                workspace_root=workspace,
                raise_on_error=True,
                enable_caching=bool(keys),
                cache_root=str(root / CACHE),
            )
            # Variables in the specification replace those that KFP's Docker runner was given.
            variables = dict(getattr(runner, "container_run_args", {}).get("environment", {}))
            variables[SECONDS_VARIABLE] = f"{display.task_seconds:g}"
            spec = _supervise(pipeline, f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/run", variables)
            _set_run_id(spec, str(uuid.uuid4()))
            for component in (spec.root, *spec.components.values()):
                for name, task in component.dag.tasks.items():
                    task.caching_options.enable_cache = name in keys
                    task.caching_options.cache_key = keys.get(name, "")
            display.plan(_list_tasks(spec, spec.root))
            supervised = components.load_component_from_text(yaml.safe_dump(json_format.MessageToDict(spec)))
            with contextlib.redirect_stdout(output), kfp_logs_to(output), warnings.catch_warnings():
                # Expected: the subprocess runner ignores images, and both runners ignore resource settings.
                warnings.filterwarnings("ignore", "You may be attemping to run a task", RuntimeWarning)
                warnings.filterwarnings("ignore", "Task .* settings .* have no effect in the current local runner")
                return dict(supervised(**arguments).outputs)
    except RuntimeError as error:
        raise RunError(output.error or str(error), task=output.failed or "") from error
    finally:
        display.close()
        local.config.LocalExecutionConfig.instance = before


def _list_tasks(spec: Any, component: Any) -> list[str]:
    """Returns the names of the tasks that run a component's own code, those of nested pipelines too."""
    names: list[str] = []
    for name, task in component.dag.tasks.items():
        inner = spec.components[task.component_ref.name]
        names += [name] if inner.executor_label else _list_tasks(spec, inner)
    return names


def _supervise(pipeline: Any, pipe_path: str, variables: Mapping[str, str]) -> Any:
    """Returns the pipeline's specification with every task command wrapped in `task_supervisor`.

    Args:
        pipeline: the pipeline.
        pipe_path: path of the pipe that the supervisor reads.
        variables: environment variables of the tasks.
    """
    spec = type(pipeline.pipeline_spec)()
    spec.CopyFrom(pipeline.pipeline_spec)
    for executor in spec.deployment_spec["executors"].values():
        if "container" in executor:
            container = executor["container"]
            source = inspect.getsource(task_supervisor)
            container["command"] = ["python3", "-c", source, pipe_path, *container["command"]]
            container["env"] = [{"name": name, "value": value} for name, value in variables.items()]
    return spec


def _set_run_id(spec: Any, run_id: str) -> None:
    """Replaces KFP's placeholder for the id of the run.

    KFP draws only 8 digits, from a generator that a task in the same process may have seeded. Two runs with the same id
    would count as one publication, and the second would be lost.
    """
    for component in (spec.root, *spec.components.values()):
        for task in component.dag.tasks.values():
            for each in task.inputs.parameters.values():
                constant = each.runtime_value.constant
                if dsl.PIPELINE_JOB_ID_PLACEHOLDER in constant.string_value:
                    constant.string_value = constant.string_value.replace(dsl.PIPELINE_JOB_ID_PLACEHOLDER, run_id)


@contextlib.contextmanager
def _open_pipe(path: Path) -> Iterator[None]:
    """Creates a named pipe that only this process holds open for writing, during the block."""
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        yield
    finally:
        os.close(descriptor)


def check_texts(texts: Mapping[str, Any]) -> None:
    """Checks that KFP can pass on values unchanged.

    Args:
        texts: paths and arguments by name.

    Raises:
        ValueError: a value contains a placeholder of KFP or is not valid UTF-8.
    """
    for name, value in texts.items():
        text = str(value)
        if "{{$" in text or text.encode(errors="replace").decode() != text:
            raise ValueError(f"Expected {name} to be valid UTF-8 without '{{{{$'. Received: {text!r}")
