import pytest

from components.core.progress import PROGRESS_LINE, RESULT_LINE, SECONDS_VARIABLE, Progress, write_result


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_lines_are_as_far_apart_as_asked_for_and_estimate_the_rest(clock, monkeypatch, capsys):
    monkeypatch.setenv(SECONDS_VARIABLE, "10")
    progress = Progress(400, clock=clock)
    for second in range(1, 31):
        clock.now = 100.0 + second
        progress.advance(10, f"{second} parts")
    # 10 units a second, so 30, 20 and 10 seconds are left after 10, 20 and 30 of 40 seconds.
    assert capsys.readouterr().out.splitlines() == [
        "[progress 25%] 10 parts  about 30 s left",
        "[progress 50%] 20 parts  about 20 s left",
        "[progress 75%] 30 parts  about 10 s left",
    ]


def test_what_an_earlier_attempt_did_counts_as_done_and_not_as_speed(clock, monkeypatch, capsys):
    monkeypatch.setenv(SECONDS_VARIABLE, "0")
    progress = Progress(8, done=4, clock=clock)
    clock.now += 60
    progress.advance(1, "epoch 5/8")
    assert capsys.readouterr().out == "[progress 62%] epoch 5/8  about 3 min left\n"


def test_a_slow_start_does_not_count_as_speed(clock, monkeypatch, capsys):
    monkeypatch.setenv(SECONDS_VARIABLE, "5")
    progress = Progress(100, clock=clock)
    clock.now += 60
    progress.done += 1
    progress.restart()
    assert not progress.is_due()
    clock.now += 10
    progress.advance(10, "10 steps in 10 s")
    assert capsys.readouterr().out == "[progress 11%] 10 steps in 10 s  about 89 s left\n"


def test_no_estimate_without_work_and_after_all_of_it(clock, monkeypatch, capsys):
    monkeypatch.setenv(SECONDS_VARIABLE, "0")
    for progress in (Progress(0, clock=clock), Progress(5, clock=clock)):
        progress.write("nothing yet")
        clock.now += 1
        progress.advance(7, "all")
    assert capsys.readouterr().out.splitlines() == [
        "[progress  0%] nothing yet", "[progress 100%] all", "[progress  0%] nothing yet", "[progress 100%] all",
    ]  # fmt: skip


def test_short_steps_say_nothing_by_default(monkeypatch, capsys):
    monkeypatch.delenv(SECONDS_VARIABLE, raising=False)
    progress = Progress(10)
    for _ in range(10):
        progress.advance(1, "part")
    assert capsys.readouterr().out == ""


def test_a_program_reads_the_lines(monkeypatch, capsys):
    monkeypatch.setenv(SECONDS_VARIABLE, "0")
    Progress(2).advance(1, "half")
    write_result("2 items")
    progress, result = capsys.readouterr().out.splitlines()
    assert PROGRESS_LINE.fullmatch(progress)[1] == "50"
    assert RESULT_LINE.fullmatch(result)[1] == "2 items"
