"""One limit for the time that all calls of a command to a cluster may take."""

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

CALLS_SECONDS = 120.0

_T = TypeVar("_T")


class CallError(RuntimeError):
    """A call got no answer in time, or an answer that the cluster's API does not give."""


class Deadline:
    """The time by which all calls must have been answered.

    Attributes:
        seconds: how long they may take in all.
    """

    def __init__(self, seconds: float = CALLS_SECONDS) -> None:
        self.seconds = seconds
        self.restart()

    def restart(self, seconds: float | None = None) -> None:
        """Begins anew, by default with as many seconds as before: a wait between two calls is not a call."""
        self.seconds = seconds or self.seconds
        self._end = time.monotonic() + self.seconds

    @property
    def remaining(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self._end - time.monotonic())

    def call(self, function: Callable[[], _T]) -> _T:
        """Calls a function in a thread of its own and gives what it returns or raises.

        A socket's timeout limits the wait for the next byte: a server that sends one byte a second, or none after its
        headers, a slow name server and a client that waits before it tries again are stopped only from outside. The
        thread of such a call is left behind and ends with the process.

        Raises:
            CallError: it takes longer than what is left.
        """
        outcome: queue.SimpleQueue[tuple[_T | None, BaseException | None]] = queue.SimpleQueue()

        def work() -> None:
            try:
                outcome.put((function(), None))
            except BaseException as error:
                outcome.put((None, error))

        if self.remaining > 0:
            threading.Thread(target=work, daemon=True).start()
        try:
            result, error = outcome.get(timeout=self.remaining)
        except queue.Empty as late:
            raise CallError(f"no answer within {self.seconds:g} s") from late
        if error is not None:
            raise error
        return result  # type: ignore[return-value]
