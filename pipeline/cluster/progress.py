"""Shows the progress of a run: one line per event or, on a terminal, one live table."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.cluster.following import View
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
    TaskState,
)
from pipeline.report import escape, escape_lines, say

_WORDS = {
    NOT_STARTED: "",
    PENDING: "waits",
    RUNNING: "runs",
    RETRYING: "failed",
    SUCCEEDED: "succeeded",
    CACHED: "cached",
    SKIPPED: "skipped",
    FAILED: "failed",
    CANCELED: "cancelled",
}
_STYLES = {SUCCEEDED: "green", CACHED: "green", FAILED: "red", RETRYING: "yellow", PENDING: "yellow", RUNNING: "cyan"}
_NAME_WIDTH = 20


@dataclass
class Lines:
    """A line when a task starts, is served from the cache, waits with a reason, is tried again or ends."""

    shown: dict[str, tuple[object, ...]] = field(default_factory=dict)
    explained: set[tuple[str, int]] = field(default_factory=set)

    def show(self, tasks: Sequence[TaskState]) -> None:
        """Prints the changes since the last call."""
        for task in tasks:
            is_starting = task.state == PENDING and (task.cause is None or task.cause.kind == "starting")
            is_silent = task.state == NOT_STARTED or is_starting
            key = (task.state, task.attempt, task.cause.kind if task.cause else "")
            if not is_silent and self.shown.get(task.name) != key:
                self.shown[task.name] = key
                # The cause of an attempt is known before the task counts as failed.
                is_known = task.state == FAILED and (task.name, task.attempt) in self.explained
                say(format_line(dataclasses.replace(task, cause=None) if is_known else task))
                if task.state == RETRYING:
                    self.explained.add((task.name, task.attempt))

    def say(self, text: str) -> None:
        """Prints a sentence."""
        say(f"two-tower: {text}", err=True)


@dataclass
class LiveTable:
    """A table of all tasks that is redrawn in place."""

    live: Live

    def show(self, tasks: Sequence[TaskState]) -> None:
        """Redraws the table."""
        self.live.update(make_table(tasks), refresh=True)

    def say(self, text: str) -> None:
        """Prints a sentence above the table."""
        self.live.console.print(Text(escape_lines(f"two-tower: {text}")), soft_wrap=True)


@contextlib.contextmanager
def open_view(console: Console | None = None) -> Iterator[View]:
    """Opens a live table on a terminal, and lines elsewhere."""
    console = console or Console()
    if not console.is_terminal:
        yield Lines()
        return
    with Live(console=console, auto_refresh=False) as live:
        yield LiveTable(live)


def print_tasks(tasks: Sequence[TaskState], console: Console | None = None) -> None:
    """Prints all tasks: a table on a terminal, lines elsewhere."""
    console = console or Console()
    if console.is_terminal:
        console.print(make_table(tasks))
    else:
        for task in tasks:
            say(format_line(task))


def format_line(task: TaskState) -> str:
    """Formats what happened to a task in one line."""
    return escape(f"{task.name:<{_NAME_WIDTH}} {_describe(task)}".rstrip())


def make_table(tasks: Sequence[TaskState]) -> Table:
    """Makes a table of all tasks."""
    table = Table("task", "state", "seconds", "", box=None)
    for task in tasks:
        word = _WORDS.get(task.state, task.state.lower())
        seconds = "" if task.state in (NOT_STARTED, SKIPPED, CACHED) else f"{task.seconds:.0f}"
        style = _STYLES.get(task.state, "dim")
        table.add_row(Text(escape(task.name)), Text(escape(word), style), seconds, Text(escape(_explain(task))))
    return table


def _describe(task: TaskState) -> str:
    word = "started" if task.state == RUNNING else _WORDS.get(task.state, task.state.lower())
    has_time = task.state in (SUCCEEDED, FAILED, RETRYING, CANCELED)
    seconds = task.attempt_seconds if task.state == RETRYING else task.seconds
    return f"{word:<10}{f' {seconds:6.0f} s' if has_time else ''}  {_explain(task)}".rstrip()


def _explain(task: TaskState) -> str:
    """What the state alone does not say: the attempt and the cause in one line."""
    cause = task.cause.text.partition("\n")[0] if task.cause else ""
    if task.state == RETRYING:
        return f"attempt {task.attempt}: {cause}; the cluster tries again or gives up after its wait"
    if task.state == SKIPPED:
        return "its condition is false"
    attempt = f"attempt {task.attempt}" if task.attempt > 1 else ""
    return ": ".join(part for part in (attempt, cause) if part)
