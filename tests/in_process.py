"""Runs the tasks of KFP's local runner in the process of the test, which saves each task the start of TensorFlow."""

import contextlib
import io
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from kfp.dsl import executor_main
from kfp.local import subprocess_task_handler

from components.export import check, step
from pipeline.task_supervisor import restore


@contextmanager
def tasks_in_process() -> Iterator[None]:
    """Makes KFP's subprocess runner call the executor of a task in this process, inside the `with` block.

    The export then also checks its index in this process.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "subprocess", SimpleNamespace(run=_check))
        patch.setattr(subprocess_task_handler, "run_local_subprocess", _run)
        yield


def _run(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
    """Executes the task of a command, whose last parts are the source of the component and the executor's arguments."""
    begin = full_command.index("--executor_input")
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "ephemeral_component.py")
        path.write_text(full_command[begin - 1])
        arguments = [restore(argument) for argument in full_command[begin:]]
        patch.setattr(sys, "argv", ["executor", "--component_module_path", str(path), *arguments])
        for name, value in (env_vars or {}).items():
            patch.setenv(name, value)
        try:
            executor_main.executor_main()
        except Exception:
            print(traceback.format_exc())
            return 1
    return 0


def _check(command: list[str], *, cwd: Path, **_: Any) -> subprocess.CompletedProcess[str]:
    """Executes the check of an index, whose command ends with the two arguments of the script."""
    with contextlib.chdir(cwd), contextlib.redirect_stdout(io.StringIO()) as printed:
        code = check.main(*command[-2:])
    return subprocess.CompletedProcess(command, code, printed.getvalue(), "")
