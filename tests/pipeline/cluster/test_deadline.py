import threading
import time

import pytest

from pipeline.cluster.deadline import CallError, Deadline


def test_a_call_gives_what_it_returns_or_raises() -> None:
    deadline = Deadline(60)
    assert deadline.call(lambda: 3) == 3
    assert deadline.call(lambda: None) is None
    for error in (KeyError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            deadline.call(lambda error=error: (_ for _ in ()).throw(error))


def test_calls_share_the_time() -> None:
    deadline = Deadline(0.3)
    start = time.monotonic()

    def call_often() -> None:
        for _ in range(100):
            deadline.call(lambda: time.sleep(0.02))

    with pytest.raises(CallError, match=r"no answer within 0\.3 s"):
        call_often()
    assert time.monotonic() - start < 2


def test_nothing_is_sent_when_no_time_is_left() -> None:
    deadline = Deadline(0.01)
    time.sleep(0.02)
    called = threading.Event()
    with pytest.raises(CallError):
        deadline.call(called.set)
    assert not called.wait(0.1)
    deadline.restart()
    deadline.restart(60)
    deadline.call(called.set)
    assert called.is_set()
