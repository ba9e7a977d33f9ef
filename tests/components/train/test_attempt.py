"""What becomes of a trial, whatever ends its process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from components.core.events import split_path
from components.train import attempt
from components.train.attempt import replace_values, run_trial
from components.train.options import make_options
from components.train.parameters import TrainParameters

VALUES = {
    **TrainParameters().to_dict(), "query_tower": "mean", "embedding_dim": 8, "num_negatives": 32, "max_epochs": 2
}  # fmt: skip


def run_python(code, lines=None):
    return attempt._run([sys.executable, "-c", code], os.environ, (lines if lines is not None else []).append)


def test_a_point_replaces_values():
    replaced = replace_values({**VALUES, "something_else": 1}, '{"dropout": 0.1, "loss": "full"}')
    assert replaced == {**VALUES, "dropout": 0.1, "loss": "full"}
    assert replace_values(VALUES, "") == VALUES


@pytest.mark.parametrize(
    ("point", "message"),
    [('{"learning_rat": 1}', "Received: learning_rat$"), ("[1]", "to be a JSON object of training parameters")],
)
def test_a_point_of_something_else_is_refused(point, message):
    with pytest.raises(ValueError, match=message):
        replace_values(VALUES, point)


def test_options_are_read_as_the_same_parameters():
    import argparse

    from components.train.options import add_parameters, read_parameters

    parameters = TrainParameters(
        query_tower="mean", loss="full", normalize=False, pointer=False, learning_rate=1e-5, dropout=0.0, refit=False
    )
    parser = argparse.ArgumentParser()
    add_parameters(parser)
    assert read_parameters(parser.parse_args(make_options(parameters))) == parameters


def test_values_that_the_training_refuses_are_a_failed_trial_without_a_process(tmp_path):
    outcome = run_trial(tmp_path, tmp_path, {**VALUES, "loss": "in_batch"})
    assert outcome["state"] == "failed"
    assert outcome["error"].startswith("Expected pointer to be false unless loss is full")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("print('fine')", ""),
        ("raise ValueError('Expected a. Received: b')", "ValueError: Expected a. Received: b"),
        ("class OwnError(Exception): pass\nraise OwnError('x')", "OwnError: x"),
        ("raise MemoryError", "MemoryError"),
        ("import sys; sys.exit(3)", "The process of the trial ended with the code 3."),
        ("import os; os.kill(os.getpid(), 11)", "The process of the trial was ended by signal 11."),
        (
            "import os; os.kill(os.getpid(), 9)",
            "The process of the trial was ended by signal 9. The machine has probably run out of memory.",
        ),
    ],
)
def test_how_a_process_ended(code, error):
    assert run_python(code) == error


def test_every_line_is_passed_on():
    lines = []
    run_python("import sys; print('out'); sys.stdout.flush(); print('err', file=sys.stderr)", lines)
    assert lines == ["out\n", "err\n"]


def test_a_full_disk_is_no_result(tmp_path, monkeypatch):
    code = "raise OSError(28, 'No space left on device')"
    monkeypatch.setattr(attempt, "_make_command", lambda *_: [sys.executable, "-c", code])
    with pytest.raises(OSError, match="No space left on device"):
        run_trial(tmp_path, tmp_path, VALUES)


def test_the_process_of_a_trial_ends_with_the_one_that_started_it(tmp_path):
    """The parent is killed, so nothing of it can end the child."""
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    watched = (
        "import threading\nfrom components.train.attempt import end_with_stdin\n"
        f"threading.Thread(target=end_with_stdin, daemon=True).start()\n{child}"
    )
    code = (
        "import os, sys\nfrom components.train import attempt\n"
        f"attempt._run([sys.executable, '-c', {watched!r}], os.environ, print)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert parent.poll() is None
        time.sleep(0.1)
    pid = int((tmp_path / "pid").read_text())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    for _ in range(600):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("The process of the trial is still there")


TRAIN = """
import json, sys
from pathlib import Path
import components.core
from components.train.parameters import TrainParameters
from components.train.step import train_model

values, *paths = sys.argv[1:]
selection = train_model(*map(Path, paths), TrainParameters(**json.loads(values))).selection
print(json.dumps([selection.best_epoch, len(selection.epochs), selection.epochs[selection.best_epoch - 1]]))
"""


@pytest.mark.slow
def test_a_trial_is_the_selection_of_a_training_and_reads_no_test_split(small_artifacts, tmp_path):
    events_dir, vocabulary_path = small_artifacts
    shutil.copytree(events_dir, tmp_path / "events")
    split_path(tmp_path / "events", "test").unlink()
    outcome = run_trial(tmp_path / "events", vocabulary_path, VALUES, checkpoint_root=tmp_path / "checkpoints")
    assert outcome["error"] == ""
    assert outcome["state"] == "complete"
    # In a process of its own too, since other numbers of threads round differently.
    arguments = [
        json.dumps({**VALUES, "refit": False}),
        events_dir,
        vocabulary_path,
        tmp_path / "model",
        tmp_path / "logs",
    ]
    ran = subprocess.run(
        [sys.executable, "-c", TRAIN, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    best_epoch, num_epochs, best = json.loads(ran.stdout.splitlines()[-1])
    assert outcome["best_epoch"] == best_epoch
    assert outcome["epochs"] == num_epochs == 2
    assert outcome["recall@20"] == pytest.approx(best["valid_recall@20"], abs=1e-6)
    assert outcome["value"] == pytest.approx(best["valid_recall@20"] + best["valid_mrr@20"], abs=1e-6)
    assert outcome["parameters"] == {**VALUES, "refit": False}
    assert list((tmp_path / "checkpoints").iterdir()) == []
    json.dumps(outcome)


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_a_failed_trial(small_artifacts):
    outcome = run_trial(*small_artifacts, {**VALUES, "table_learning_rate": 1e30, "normalize": False, "max_epochs": 1})
    assert outcome["state"] == "failed"
    assert "Expected finite query embeddings. Received: NaN or infinity" in outcome["error"]
