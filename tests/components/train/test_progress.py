import pytest

from components.core.progress import SECONDS_VARIABLE
from components.train.checkpoints import History
from components.train.progress import TrainingProgress


@pytest.fixture
def clock(monkeypatch):
    times = [0.0]
    monkeypatch.setattr("components.train.progress.perf_counter", lambda: times[0])
    return times


def test_the_first_step_says_nothing_about_the_pace(clock, monkeypatch, capsys):
    """It compiles the graph: 50 s here, where each of the other 99 takes 1 s."""
    monkeypatch.setenv(SECONDS_VARIABLE, "20")
    history = History()
    history.num_targets = 1_000
    steps = TrainingProgress(1).follow(history, num_steps=100, num_epochs=1)
    steps.progress.clock = lambda: clock[0]
    steps.progress.restart()
    steps.on_epoch_begin(0)
    for step in range(100):
        clock[0] += 50 if step == 0 else 1
        steps.on_train_batch_end(step)
    assert capsys.readouterr().out.splitlines() == [
        "[progress 21%] epoch 1/1  10 targets/s  about 79 s left",
        "[progress 41%] epoch 1/1  10 targets/s  about 59 s left",
        "[progress 61%] epoch 1/1  10 targets/s  about 39 s left",
        "[progress 81%] epoch 1/1  10 targets/s  about 19 s left",
    ]


def test_a_call_may_run_several_steps(clock, monkeypatch, capsys):
    monkeypatch.setenv(SECONDS_VARIABLE, "20")
    history = History(epochs=[{"targets_per_second": 7}])
    history.num_targets = 1_000
    steps = TrainingProgress(3).follow(history, num_steps=50, num_epochs=3)
    steps.progress.clock = lambda: clock[0]
    steps.progress.restart()
    for epoch in (1, 2):
        steps.on_epoch_begin(epoch)
        for last in (15, 31, 47, 49):
            clock[0] += 16
            steps.on_train_batch_end(last)
    assert steps.progress.done == 150
    assert capsys.readouterr().out.splitlines() == [
        "[progress 65%] epoch 2/3  20 targets/s  about 52 s left",
        "[progress 77%] epoch 3/3  20 targets/s  about 44 s left",
        "[progress 99%] epoch 3/3  20 targets/s  about 2 s left",
    ]
