"""Runs a pipeline with KFP's local runner. When the calling process ends, its tasks end too."""

import contextlib
import inspect
import io
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import components, dsl, local

from pipeline import task_supervisor

_ERROR_LINE = re.compile(r"^\s*(?:\w+\.)*\w*(?:Error|Exception): .+")


class RunError(RuntimeError):
    """A task of a local run failed; the message is the task's error."""


def run_tasks(pipeline: Any, arguments: Mapping[str, Any], root: Path, runner: Any = None) -> dict[str, Any]:
    """Runs a pipeline's tasks. KFP's global configuration is restored afterwards.

    Args:
        pipeline: a pipeline, from source or loaded from its compiled YAML.
        arguments: values of the pipeline's parameters.
        root: KFP's pipeline root for this run; it stores each artifact as `<run>/<task>/<name>`.
        runner: KFP's local runner; by default, each task runs in a subprocess with this Python interpreter.

    Returns:
        The pipeline's outputs by name.

    Raises:
        RunError: a task failed.
    """
    before = local.config.LocalExecutionConfig.instance
    log = _ErrorLog(sys.stdout)
    try:
        runner = runner or local.SubprocessRunner(use_venv=False)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as workspace, _open_pipe(Path(workspace, "run")):
            # KFP gives the tasks of both runners access to the workspace, and replaces its placeholder in commands.
            local.init(runner, pipeline_root=str(root), workspace_root=workspace, raise_on_error=True)
            supervised = _supervise(pipeline, f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/run")
            with contextlib.redirect_stdout(log), warnings.catch_warnings():
                # Expected: the subprocess runner ignores images, and both runners ignore resource settings.
                warnings.filterwarnings("ignore", "You may be attemping to run a task", RuntimeWarning)
                warnings.filterwarnings("ignore", "Task .* settings .* have no effect in the current local runner")
                return dict(supervised(**arguments).outputs)
    except RuntimeError as error:
        raise RunError(log.last_error or str(error)) from error
    finally:
        local.config.LocalExecutionConfig.instance = before


def _supervise(pipeline: Any, pipe_path: str) -> Any:
    """Returns the pipeline with every task command wrapped in `task_supervisor`."""
    spec = type(pipeline.pipeline_spec)()
    spec.CopyFrom(pipeline.pipeline_spec)
    for executor in spec.deployment_spec["executors"].values():
        if "container" in executor:
            container = executor["container"]
            source = inspect.getsource(task_supervisor)
            container["command"] = ["python3", "-c", source, pipe_path, *container["command"]]
    return components.load_component_from_text(yaml.safe_dump(json_format.MessageToDict(spec)))


@contextlib.contextmanager
def _open_pipe(path: Path) -> Iterator[None]:
    """Creates a named pipe that only this process holds open for writing, during the block."""
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        yield
    finally:
        os.close(descriptor)


class _ErrorLog(io.TextIOBase):
    """Forwards writes and remembers the last line that names an exception, which KFP's own error lacks."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.last_error = ""
        self.line = ""

    def write(self, text: str) -> int:
        """Forwards `text` to the stream."""
        self.stream.write(text)
        *complete, self.line = (self.line + text).split("\n")
        for line in complete:
            if _ERROR_LINE.match(line):
                self.last_error = line.strip()
        return len(text)

    def flush(self) -> None:
        """Flushes the stream."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Returns whether the stream is a terminal."""
        return bool(self.stream.isatty())


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
