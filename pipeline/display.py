"""Shows the progress of a local run: one line per step, and within a step a line that is written anew in place."""

import time
from collections.abc import Callable, Sequence
from enum import IntEnum

from rich.console import Console
from rich.live import Live
from rich.text import Text

from components.core.progress import describe_seconds
from pipeline.report import escape

SPARSE_SECONDS = 30.0  # shortest time between two progress lines where no line can be written anew
LIVE_TASK_SECONDS = 1.0  # what a task waits between two lines of progress
SPARSE_TASK_SECONDS = 10.0


class Detail(IntEnum):
    """How much is shown beside the result."""

    QUIET = 0
    """Nothing."""
    STEPS = 1
    """A line per step."""
    ALL = 2
    """Everything that KFP and the steps print."""


class Display:
    """The steps of a run on a console, usually stderr.

    Args:
        console: the console; a terminal shows the current step in place.
        detail: how much to show.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        console: Console | None = None,
        detail: Detail = Detail.STEPS,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console or Console(stderr=True)
        self.detail = detail
        self.clock = clock
        self.seconds: dict[str, float] = {}  # how long each step took
        self.reused: list[str] = []
        self.task: str | None = None
        self.progress = ""
        self._names: Sequence[str] = ()
        self._numbers: dict[str, int] = {}  # that of each step, given when it starts
        self._result = ""
        self._begin = self._shown = 0.0
        self._live: Live | None = None

    @property
    def is_live(self) -> bool:
        """Whether the current step is shown in place."""
        return self.detail == Detail.STEPS and self.console.is_terminal

    @property
    def task_seconds(self) -> float:
        """How often tasks should say how far they are, in seconds."""
        return LIVE_TASK_SECONDS if self.is_live else SPARSE_TASK_SECONDS

    def plan(self, names: Sequence[str]) -> None:
        """Sets the names of all steps, in any order."""
        self._names = names

    def start(self, task: str) -> None:
        """Starts a step."""
        self.task, self.progress, self._result = task, "", ""
        self._give_number(task)
        self._begin = self._shown = self.clock()
        if self.is_live and self._live is None:
            self._live = Live(
                get_renderable=self._render,
                console=self.console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def advance(self, text: str) -> None:
        """Shows how far the current step is."""
        self.progress = text
        if self.detail == Detail.STEPS and self._live is None and self.clock() - self._shown >= SPARSE_SECONDS:
            self._shown = self.clock()
            self._print(f"{self._head(self.task or '')}{text}")

    def describe(self, text: str) -> None:
        """Notes what the current step has made, for its line."""
        self._result = text

    def finish(self, task: str, *, succeeded: bool) -> None:
        """Shows the line of a step that has ended."""
        self.close()
        self.seconds[task] = self.clock() - self._begin
        if succeeded:
            self.task = None
            text = f"{self._result or 'done'}  {describe_seconds(self.seconds[task])}"
        else:
            text = f"failed after {describe_seconds(self.seconds[task])}"
        if self.detail == Detail.STEPS:
            self._print(f"{self._head(task)}{text}", style="" if succeeded else "bold red")

    def reuse(self, task: str) -> None:
        """Shows a step that an earlier attempt has done."""
        self.reused.append(task)
        self._give_number(task)
        if self.detail == Detail.STEPS:
            self._print(f"{self._head(task)}done by the attempt before")

    def show(self, line: str) -> None:
        """Shows a line that KFP or a step has printed."""
        if self.detail == Detail.ALL:
            self._print(line)

    def close(self) -> None:
        """Removes the line that is written in place."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def place(self, task: str) -> str:
        """Returns the number of a step: `3 of 5`."""
        return f"{self._numbers.get(task, 0)} of {len(self._names)}"

    def _give_number(self, task: str) -> None:
        """Numbers a step that starts; one that ran before keeps its number, whatever has run since."""
        self._numbers.setdefault(task, len(self._numbers) + 1)

    def _head(self, task: str) -> str:
        width = max(map(len, self._names), default=0)
        return f"[{self._numbers.get(task, 0)}/{len(self._names)}] {task:{width}}  "

    def _render(self) -> Text:
        elapsed = describe_seconds(self.clock() - self._begin)
        text = f"{self._head(self.task or '')}{self.progress or f'running for {elapsed}'}"
        return Text(escape(text), no_wrap=True, overflow="ellipsis")

    def _print(self, line: str, style: str = "") -> None:
        self.console.print(Text(escape(line), style=style), soft_wrap=True)
