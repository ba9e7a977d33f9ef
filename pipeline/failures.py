"""What a local run says when it fails: what happened, in which step, what to do, and where the log is."""

import errno
import re
from pathlib import Path

from components.core.progress import describe_seconds
from components.core.refusal import RefusedError
from pipeline.display import Display
from pipeline.kfp_runner import RunError
from pipeline.output_folder import LOG_NAME, OutputFolder

MAX_LENGTH = 1_000  # of the error's text
_NO_SPACE = re.compile(
    rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT}|{errno.EFBIG})\]|No space left on device|Disk quota exceeded"
)
_INPUT = re.compile(r"(?:ValueError|FileNotFoundError|KeyError): ")
_REFUSAL = re.compile(rf"(?:\w+\.)*{RefusedError.__name__}: ")
_EPOCH = re.compile(r"((?:refit )?epoch) (\d+)/\d+(  done)?")


def explain(error: RunError | OSError, run_dir: Path, folder: OutputFolder, display: Display) -> str:
    """Returns what to say about a run that has failed: four lines, or three if the gate has refused the model.

    Args:
        error: what failed.
        run_dir: the folder of the run.
        folder: the output folder.
        display: what was shown of the run.
    """
    what = " ".join(str(error).split())
    what = what if len(what) <= MAX_LENGTH else f"{what[:MAX_LENGTH]} ..."
    task = error.task if isinstance(error, RunError) else ""
    if task:
        duration = describe_seconds(display.seconds.get(task, 0.0))
        where = f"This was step {display.place(task)}, {task}, after {duration}. {folder.describe()}"
    else:
        where = f"This was outside the steps. {folder.describe()}"
    log = f"The log is {run_dir / LOG_NAME}, beside what the steps made."
    # The same data and settings would be refused again.
    advice = [] if is_refusal(error) else [_advise(what, folder)]
    return "\n".join([what, where, *advice, log])


def is_refusal(error: RunError | OSError) -> bool:
    """Returns whether a run has failed because the gate refused the model, with `fail_when_refused`."""
    return isinstance(error, RunError) and error.task == "gate" and _REFUSAL.match(str(error)) is not None


def _advise(what: str, folder: OutputFolder) -> str:
    again = "start the same command again; steps that have succeeded are not repeated."
    if _NO_SPACE.search(what):
        return f"Free space on the disk of {folder.path}, and {again}"
    if "killed by signal" in what:
        less = "sample_fraction for split logs, window_days for a raw log"
        return f"Give it more memory, a smaller batch_size or less data ({less}), and {again}"
    if _INPUT.match(what):
        return f"Correct what the first line names, and {again}"
    return f"Look into the log for the cause, and {again}"


def explain_interruption(folder: OutputFolder, display: Display) -> str:
    """Returns what to do after a run was interrupted."""
    epoch = _EPOCH.search(display.progress)
    if epoch:
        point = f"{epoch[1]} {int(epoch[2]) + bool(epoch[3])}"
    else:
        point = f"the step {display.task}" if display.task else "the first step"
    step = f" in the step {display.task}" if display.task else ""
    return f"The run was interrupted{step}. Start it again to go on from {point}. {folder.describe()}"
