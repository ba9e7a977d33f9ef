"""What a step says while it works, as lines that a person reads in a pod's log and a program in a pipe.

[progress 31%] epoch 2/8  recall@20 0.166  21,000 targets/s  about 2 min left
[result] 102,331 events of 30,000 sessions, 12 lines rejected
"""

import os
import re
import sys
import time
from collections.abc import Callable

SECONDS_VARIABLE = "TWO_TOWER_PROGRESS_SECONDS"  # shortest time between two lines; the local run sets it for a terminal
DEFAULT_SECONDS = 30.0  # for logs that are kept

PROGRESS_LINE = re.compile(r"\[progress +(\d+)%\] (.*)")
RESULT_LINE = re.compile(r"\[result\] (.*)")


class Progress:
    """Writes lines about the progress of a step, no more often than SECONDS_VARIABLE allows.

    Args:
        total: the amount of work.
        done: the amount that an earlier attempt has done already.
        clock: returns the time in seconds.
    """

    def __init__(self, total: float, *, done: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = max(total, 1e-9)
        self.first = self.done = done
        self.clock = clock
        self.begin = clock()
        self.seconds = float(os.environ.get(SECONDS_VARIABLE, DEFAULT_SECONDS))
        self.last = self.begin

    def restart(self) -> None:
        """Starts the clock anew; the work so far, such as compiling a graph, does not show the speed of the rest."""
        self.first = self.done
        self.begin = self.last = self.clock()

    def is_due(self) -> bool:
        """Whether a line may be written now."""
        return self.clock() - self.last >= self.seconds

    def advance(self, amount: float, text: str = "") -> None:
        """Adds to the work that is done, and writes a line if it is due.

        Args:
            amount: the amount of work since the last call.
            text: what to say before the estimate of the time that is left.
        """
        self.done += amount
        if self.is_due():
            self.write(text)

    def describe_bytes(self) -> str:
        """Describes the work that is done and its total, if both are numbers of bytes."""
        return f"{self.done / 1e6:,.0f} of {self.total / 1e6:,.0f} MB"

    def write(self, text: str) -> None:
        """Writes a line now."""
        self.last = self.clock()
        share = min(1.0, self.done / self.total)
        parts = [text, self._estimate()]
        _write(f"[progress {share:3.0%}] {'  '.join(part for part in parts if part)}")

    def _estimate(self) -> str:
        """Returns the time that is left if the rest takes as long per unit of work as what was done so far."""
        elapsed, new = self.clock() - self.begin, self.done - self.first
        if new <= 0 or elapsed <= 0 or self.done >= self.total:
            return ""
        return f"about {describe_seconds(elapsed * (self.total - self.done) / new)} left"


def write_result(text: str) -> None:
    """Writes what the step has made, in one line."""
    _write(f"[result] {text}")


def describe_seconds(seconds: float) -> str:
    """Describes a duration by its largest unit: `40 s`, `2 min`, `3.5 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
