"""One time limit for all calls of a command to a cluster."""

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

CALLS_SECONDS = 120.0
CLIENT_SECONDS = 1.0

_T = TypeVar("_T")


class CallError(RuntimeError):
    """A call was not answered in time, or the answer does not match the API of the cluster."""


class Deadline:
    """The time by which all calls must be answered.

    Attributes:
        seconds: time limit for all calls together.
    """

    def __init__(self, seconds: float = CALLS_SECONDS) -> None:
        self.seconds = seconds
        self.restart()

    def restart(self, seconds: float | None = None) -> None:
        """Restarts the limit, after a wait that does not count; by default with the same number of seconds."""
        self.seconds = seconds or self.seconds
        self._end = time.monotonic() + self.seconds

    @property
    def remaining(self) -> float:
        """Remaining seconds, at least 0."""
        return max(0.0, self._end - time.monotonic())

    @property
    def client_timeout(self) -> float:
        """Seconds after which the client of a call ends it: after `call` has, which says what happened."""
        return self.remaining + CLIENT_SECONDS

    def call(self, function: Callable[[], _T]) -> _T:
        """Calls a function in a new thread, and returns its result or raises its exception.

        A socket timeout limits only the wait for the next byte. It does not stop a server that sends one byte per
        second, a slow name server or a client that waits before it retries. The thread of a call that times out keeps
        running and ends with the process.

        Raises:
            CallError: the call takes longer than the remaining time.
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
