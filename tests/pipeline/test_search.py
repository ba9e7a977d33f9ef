"""The search on this machine, with a formula in place of the training: everything else is real."""

import io
import json

import pytest
from rich.console import Console

from components.suggest.spaces import parse_space
from pipeline import search
from pipeline.display import Detail, Display
from pipeline.kfp_runner import RunError
from pipeline.run_options import make_local_run
from pipeline.search import Plan, Search
from pipeline.search_results import make_trials_table
from pipeline.search_space import check_space
from pipeline.task_keys import hash_files
from pipeline.tasks import Tasks

SPACE = "dropout: {low: 0.0, high: 0.4, step: 0.1}\nlearning_rate: {low: 0.001, high: 0.01, log: true}"


@pytest.fixture
def tried(monkeypatch):
    """The values of the trials that are run; each is the better the nearer its dropout is to 0.1."""
    values = []

    def run_trial(events_dir, vocabulary_path, chosen, **_):
        assert (events_dir / "train.parquet").is_file()
        assert vocabulary_path.is_file()
        values.append(chosen)
        value = 1.0 - abs(chosen["dropout"] - 0.1)
        figures = {"recall@20": value, "mrr@20": 0.0, "best_epoch": 1, "epochs": 1, "duration": 1.0}
        return {"state": "complete", "parameters": chosen, "error": "", "value": value, **figures}

    monkeypatch.setattr(search, "run_trial", run_trial)
    return values


@pytest.fixture
def make_search(small_log, tmp_path):
    def make(space=SPACE, folder="output", *settings, **changes):
        options = {f"{split}_path": str(path) for split, path in small_log.items()}
        run = make_local_run(options, settings, "", Tasks())
        data = hash_files(run.find_local_logs(run.arguments))
        values = {"sampler": "tpe", "random_seed": 1, "source_version": "1", "data": data, **changes}
        plan = Plan(run=run, space=check_space(parse_space(space), run.arguments), **values)
        (tmp_path / folder).mkdir(exist_ok=True)
        return Search(plan, tmp_path / folder, Display(detail=Detail.QUIET))

    return make


def test_the_first_trial_has_the_values_of_the_preset_and_the_vocabulary_none_of_valid(make_search, tried, tmp_path):
    found = make_search()
    found.run(3)
    assert [trial["number"] for trial in found.trials] == [1, 2, 3]
    assert found.trials[0]["point"] == {}
    assert tried[0]["dropout"] == 0.2
    assert [trial["point"].keys() for trial in found.trials[1:]] == [{"dropout", "learning_rate"}] * 2
    document = json.loads((tmp_path / "output" / "trials.json").read_text())
    assert document["trials"] == found.trials
    assert document["search"]["space"]["dropout"] == {"low": 0.0, "high": 0.4, "step": 0.1}


@pytest.mark.parametrize("num_before", [0, 1, 4])
def test_an_interrupted_search_goes_on_with_the_same_points(num_before, make_search, tried, monkeypatch):
    whole = make_search(folder="whole")
    whole.run(7)
    wanted = [trial["point"] for trial in whole.trials]
    first, run_trial = make_search(), search.run_trial

    def interrupt(*arguments, **options):
        if len(first.trials) == num_before:
            raise KeyboardInterrupt
        return run_trial(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(search, "run_trial", interrupt)
        with pytest.raises(KeyboardInterrupt):
            first.run(7)
    events = first.events_dir / "train.parquet"
    before = events.stat().st_mtime_ns
    tried.clear()
    again = make_search()
    assert len(again.trials) == num_before
    again.run(7)
    assert len(tried) == 7 - num_before
    assert [trial["point"] for trial in again.trials] == wanted
    assert events.stat().st_mtime_ns == before


def test_more_trials_may_follow_and_fewer_are_no_work(make_search, tried):
    make_search().run(2)
    again = make_search()
    again.run(4)
    assert len(tried) == 4
    again.run(2)
    assert len(tried) == 4


@pytest.mark.parametrize(
    ("arguments", "changes", "name"),
    [
        (["dropout: {low: 0.0, high: 0.2}"], {}, "space"),
        ([], {"sampler": "random"}, "sampler"),
        ([], {"random_seed": 2}, "random_seed"),
        ([], {"source_version": "2"}, "source_version"),
        ([SPACE, "output", "max_epochs=3"], {}, "parameters"),
        ([], {"data": {"train_path": {"sha256": "0"}}}, "data"),
    ],
)
def test_another_search_does_not_go_on_in_the_same_folder(arguments, changes, name, make_search, tried):
    make_search().run(2)
    with pytest.raises(ValueError, match=f"Received: another {name}. Choose another folder"):
        make_search(*arguments, **changes)


def test_a_file_of_something_else_is_no_search(make_search, tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "trials.json").write_text("[]")
    with pytest.raises(ValueError, match=r"Expected .*trials\.json to hold the trials of a search"):
        make_search()


def test_a_failed_trial_is_kept_and_the_search_goes_on(make_search, tried, monkeypatch):
    run_trial = search.run_trial

    def fail_second(*arguments, **options):
        outcome = run_trial(*arguments, **options)
        if len(tried) == 2:
            return {"state": "failed", "parameters": arguments[2], "error": "ended by signal 9", "duration": 1.0}
        return outcome

    monkeypatch.setattr(search, "run_trial", fail_second)
    found = make_search()
    found.run(6)
    assert [trial["state"] == "failed" for trial in found.trials] == [False, True, False, False, False, False]
    make_search().run(6)
    assert len(tried) == 6


def test_when_all_trials_fail_the_search_says_so(make_search, monkeypatch, tmp_path):
    failed = {"state": "failed", "error": "ValueError: Expected a finite loss.", "duration": 1.0}
    monkeypatch.setattr(search, "run_trial", lambda *values, **_: {**failed, "parameters": values[2]})
    with pytest.raises(RunError, match="All 2 trials have failed: 2 x ValueError: Expected a finite loss") as failure:
        make_search().run(2)
    assert "Try the parameters of the preset" in str(failure.value)


def test_a_log_that_is_refused_is_said_before_the_first_trial(make_search, tried):
    with pytest.raises(RunError, match=r"ValueError: Expected each of the columns .*\nThis was the step ingest"):
        make_search(SPACE, "output", "item_column=Item").run(2)
    assert tried == []


def test_a_full_disk_ends_the_search_and_is_no_trial(make_search, monkeypatch):
    def fill(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(search, "run_trial", fill)
    found = make_search()
    with pytest.raises(RunError, match="No space left on device"):
        found.run(2)
    assert found.trials == []
    assert make_search().trials == []


def test_the_table_shows_values_as_they_are():
    space = parse_space("item_column: {choices: ['[bold]a', b]}")
    trial = {"number": 1, "state": "complete", "value": 0.5, "parameters": {"item_column": "[bold]a\x1b[2J"}}
    stream = io.StringIO()
    Console(file=stream, width=100).print(make_trials_table(space, [trial]))
    assert r"[bold]a\x1b[2J" in stream.getvalue()
