"""What KFP and the tasks of a local run print: all of it goes to the log, the parts that matter to the terminal."""

import builtins
import contextlib
import io
import logging
import re
from collections.abc import Iterator
from typing import Protocol, TextIO

from components.core.progress import PROGRESS_LINE, RESULT_LINE

_ERROR_LINE = re.compile(r"\s*(?:\w+\.)*\w*(?:Error|Exception|Interrupt): .+")
_KILLED_LINE = re.compile(r"\s*\[killed\] signal (\d+)")
_COLOUR = re.compile(r"\x1b\[\d*m")
# KFP's own lines.
_STARTED = re.compile(r".* - INFO - Executing task '(.+)'")
_FINISHED = re.compile(r".* - (?:INFO|ERROR) - Task '(.+)' finished with status (SUCCESS|FAILURE)")
_REUSED = re.compile(r".*Task (\S+) cache hit .*")


class Watcher(Protocol):
    """What is told about the tasks of a run."""

    def start(self, task: str) -> None:
        """A task starts."""

    def advance(self, text: str) -> None:
        """The current task says how far it is."""

    def describe(self, text: str) -> None:
        """The current task says what it has made."""

    def finish(self, task: str, *, succeeded: bool) -> None:
        """A task has ended."""

    def reuse(self, task: str) -> None:
        """A task is not run, because an earlier attempt has made its artifacts."""

    def show(self, line: str) -> None:
        """Any line, as it was printed."""


class TaskOutput(io.TextIOBase):
    """A stream that writes to a log and tells a watcher what the lines say.

    Attributes:
        failed: the first task that failed; None if none has.
        error: the error of that task, which KFP's own error lacks: the last line that names an exception, or that the
            process was killed.
    """

    def __init__(self, log: TextIO, watcher: Watcher) -> None:
        self.log = log
        self.watcher = watcher
        self.failed: str | None = None
        self.error = ""
        self.last_error = ""
        self.line = ""

    def write(self, text: str) -> int:
        """Writes to the log; lines that end in `text` are interpreted."""
        self.log.write(_COLOUR.sub("", text))
        *complete, self.line = (self.line + text).split("\n")
        for line in complete:
            self._read(_COLOUR.sub("", line))
        return len(text)

    def flush(self) -> None:
        """Flushes the log."""
        self.log.flush()

    def _read(self, line: str) -> None:
        self.watcher.show(line)
        text = line.strip()
        if match := PROGRESS_LINE.fullmatch(text):
            self.watcher.advance(match[2])
        elif match := RESULT_LINE.fullmatch(text):
            self.watcher.describe(match[1])
        elif match := _KILLED_LINE.fullmatch(line):
            self.last_error = (
                f"The process of the step was killed by signal {match[1]}. The machine has probably run out of memory"
            )
        elif _ERROR_LINE.fullmatch(line):
            self.last_error = text
        elif match := _STARTED.fullmatch(line):
            self.last_error = ""
            self.watcher.start(match[1])
        elif match := _FINISHED.fullmatch(line):
            succeeded = match[2] == "SUCCESS"
            if not succeeded and self.failed is None:
                self.failed, self.error = match[1], self.last_error
            self.watcher.finish(match[1], succeeded=succeeded)
        elif match := _REUSED.fullmatch(line):
            self.watcher.reuse(match[1])


@contextlib.contextmanager
def kfp_logs_to(stream: io.TextIOBase) -> Iterator[None]:
    """Sends the messages that KFP logs between tasks to the stream; those within a task go to stdout.

    Afterwards the root logger and `print` are as before. KFP replaces both while it runs a task, and runs the tasks of
    a loop in threads, each of which may put back what another one had set.
    """
    logger = logging.getLogger()
    handlers, level, print_line = logger.handlers[:], logger.level, builtins.print
    logger.addHandler(logging.StreamHandler(stream))
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        builtins.print = print_line
