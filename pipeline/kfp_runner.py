"""Running a pipeline under KFP's local runner, so that its tasks end with the process that runs it."""

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
    """A task of a local run failed; the message is the task's own."""


def run_tasks(pipeline: Any, arguments: Mapping[str, Any], root: Path, runner: Any = None) -> dict[str, Any]:
    """Runs a pipeline's tasks; KFP's global configuration is put back in the end.

    Args:
        pipeline: a pipeline, from source or loaded from its compiled YAML.
        arguments: its parameters.
        root: KFP's folder of this run; an artifact lies at `<run>/<task>/<name>` in it.
        runner: KFP's local runner; by default each task is a process of this interpreter.

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
            # The workspace is the folder that KFP names and mounts for tasks of either runner.
            local.init(runner, pipeline_root=str(root), workspace_root=workspace, raise_on_error=True)
            supervised = _supervise(pipeline, f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/run")
            with contextlib.redirect_stdout(log), warnings.catch_warnings():
                # The image is not used, this interpreter has what it holds; nor are a compiled pipeline's resources.
                warnings.filterwarnings("ignore", "You may be attemping to run a task", RuntimeWarning)
                warnings.filterwarnings("ignore", "Task .* settings .* have no effect in the current local runner")
                return dict(supervised(**arguments).outputs)
    except RuntimeError as error:
        raise RunError(log.last_error or str(error)) from error
    finally:
        local.config.LocalExecutionConfig.instance = before


def _supervise(pipeline: Any, pipe_path: str) -> Any:
    """The pipeline with each task started by `task_supervisor`."""
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
    """Makes a named pipe that is open for writing during the block, in this process only."""
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        yield
    finally:
        os.close(descriptor)


class _ErrorLog(io.TextIOBase):
    """Passes on what is written and remembers the last line that names an exception: KFP's own error does not."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.last_error = ""
        self.line = ""

    def write(self, text: str) -> int:
        """Passes `text` on."""
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
        """Whether the stream is a terminal."""
        return bool(self.stream.isatty())


def check_texts(texts: Mapping[str, Any]) -> None:
    """Refuses what KFP would change or fail at.

    Args:
        texts: paths and arguments by name.

    Raises:
        ValueError: one holds a placeholder of KFP or is no valid UTF-8.
    """
    for name, value in texts.items():
        text = str(value)
        if "{{$" in text or text.encode(errors="replace").decode() != text:
            raise ValueError(f"Expected {name} to be valid UTF-8 without '{{{{$'. Received: {text!r}")
