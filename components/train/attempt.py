"""Runs a trial in a process of its own, so that whatever ends it is a result: no memory, a crash, a loss of NaN.

This module needs no TensorFlow.
"""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.core.parameters import make_parameters
from components.train.options import make_options
from components.train.parameters import TrainParameters

COMPLETE, FAILED = "complete", "failed"  # states of a trial
_ERROR_LINE = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt)(?:: .+)?")
_NO_SPACE = re.compile(rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT})\]|No space left on device|Disk quota exceeded")
MAX_ERROR = 500  # characters


def replace_values(values: Mapping[str, Any], point: str) -> dict[str, Any]:
    """Returns training parameters with those of a point in place of others.

    Args:
        values: the parameters, and others that are ignored.
        point: a JSON object with parameters; empty for none.

    Raises:
        ValueError: the point is no JSON object, or names what is no training parameter.
    """
    chosen = json.loads(point or "{}")
    known = TrainParameters().to_dict()
    if not isinstance(chosen, dict):
        raise ValueError(f"Expected a point to be a JSON object of training parameters. Received: {point}")
    unknown = sorted(chosen.keys() - known.keys())
    if unknown:
        raise ValueError(f"Expected training parameters, of {', '.join(known)}. Received: {', '.join(unknown)}")
    return {**{name: values[name] for name in known}, **chosen}


def run_trial(
    events_dir: Path,
    vocabulary_path: Path,
    values: Mapping[str, Any],
    *,
    checkpoint_root: Path | None = None,
    environment: Mapping[str, str] | None = None,
    write: Callable[[str], object] = sys.stdout.write,
) -> dict[str, Any]:
    """Tries training parameters in a process that ends with this one.

    Args:
        events_dir: the events artifact; its test split is not read.
        vocabulary_path: the vocabulary artifact.
        values: all training parameters by name.
        checkpoint_root: folder for checkpoints, from which an interrupted trial goes on; None for none.
        environment: environment variables of the process, in addition to those of this one.
        write: gets what the trial prints, line by line.

    Returns:
        `state` (COMPLETE or FAILED), `parameters`, `error` (empty if complete), `duration` in seconds with the start of
        the process and the validation and, if complete, what `trial.try_parameters` returns.

    Raises:
        OSError: the disk is full, which is no result of the parameters.
    """
    begin = time.monotonic()
    try:
        parameters = make_parameters(TrainParameters, {**values, "refit": False, "warm_start": False})
    except ValueError as refusal:
        return {"state": FAILED, "parameters": dict(values), "error": str(refusal)[:MAX_ERROR], "duration": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        outcome_path = Path(folder, "outcome.json")
        command = _make_command(events_dir, vocabulary_path, parameters, outcome_path, checkpoint_root)
        error = _run(command, {**os.environ, **(environment or {})}, write)
        result = {} if error else json.loads(outcome_path.read_text())
    if _NO_SPACE.search(error):
        raise OSError(errno.ENOSPC, error)
    return {
        "state": FAILED if error else COMPLETE,
        "parameters": parameters.to_dict(),
        "error": error[:MAX_ERROR],
        "duration": time.monotonic() - begin,
        **result,
    }


def end_with_stdin() -> None:
    """Ends this process when its standard input ends, with the process that holds the other end."""
    while os.read(0, 1):
        pass
    os._exit(1)


def _make_command(
    events_dir: Path,
    vocabulary_path: Path,
    parameters: TrainParameters,
    outcome_path: Path,
    checkpoint_root: Path | None,
) -> list[str]:
    paths = {"events": events_dir, "vocabulary": vocabulary_path, "outcome": outcome_path}
    if checkpoint_root is not None:
        paths["checkpoint-root"] = checkpoint_root
    return [
        # -P: the folder in which the command is started may hold a module of any name.
        *(sys.executable, "-P", "-m", "components.train.trial", "--with-parent"),
        *(f"--{name}={path}" for name, path in paths.items()),
        *make_options(parameters),
    ]


def _run(command: list[str], environment: Mapping[str, str], write: Callable[[str], object]) -> str:
    """Runs a command; returns its error, the last line that names an exception; empty if it succeeded."""
    error = ""
    # A session of its own: Ctrl-C reaches this process alone, which then ends the other.
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout or ():
                write(line)
                if _ERROR_LINE.fullmatch(line.strip()):
                    error = line.strip()
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if code == 0:
        return ""
    if code < 0:
        memory = " The machine has probably run out of memory." if code == -signal.SIGKILL else ""
        return f"The process of the trial was ended by signal {-code}.{memory}"
    return error or f"The process of the trial ended with the code {code}."
