"""What `two-tower tune` refuses before anything starts, and what it says of its results."""

import importlib.util
import json

import pytest
from click.testing import CliRunner

from pipeline.__main__ import cli
from pipeline.output_folder import OutputFolder, OutputFolderError
from pipeline.search_results import Final


def tune(*arguments):
    return CliRunner().invoke(cli, ["tune", *arguments])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text("learning_rat: {low: 0.1, high: 0.2}")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "space.yaml"], "space.yaml: Expected a parameter of the step train. Received: 'learning_rat'"),
        (["--space", "nothing.yaml"], "Expected --space to be default or a YAML file. Received: nothing.yaml"),
        (["--set", "max_epoch=1"], "Did you mean max_epochs"),
        (["--set", "query_tower=bert"], "Expected query_tower to be one of"),
        (["--set", "loss=in_batch", "--set", "pointer=true"], "Expected pointer to be false"),
        (["--train", "nowhere.tsv", "--valid", "a", "--test", "b"], "Expected --train to be a file"),
        (["--preset", "fast"], "Expected a preset"),
    ],
)
def test_wrong_input_is_refused_before_anything_starts(arguments, message, folder):
    done = tune(*arguments)
    assert isinstance(done.exception, ValueError | OSError)
    assert message in str(done.exception)
    assert not (folder / "tuned").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "refit=false"], "Omit --set refit=..."),
        (["--trials", "1"], "1 is not in the range x>=2"),
        (["--set", "refit=true", "--set", "refit=true"], "once"),
    ],
)
def test_wrong_usage(arguments, message, folder):
    done = tune(*arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert not (folder / "tuned").exists()


def test_a_folder_with_runs_is_refused_for_a_search(folder):
    with OutputFolder(folder / "output") as output:
        run_dir = output.begin()
        (run_dir / "vocabulary.parquet").write_text("of the run")
        output.publish(run_dir, {})
    done = tune("--output", "output")
    assert isinstance(done.exception, OutputFolderError)
    assert "contains runs of a pipeline. Choose another folder for a search." in str(done.exception)
    assert (folder / "output" / "vocabulary.parquet").read_text() == "of the run"


def test_without_optuna_the_command_says_what_to_install(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna" else find_spec(name))
    done = tune()
    assert isinstance(done.exception, ValueError)
    assert "needs the package optuna, which is not installed. Install the extra `components`" in str(done.exception)


def make_final(recall, mrr):
    values = {"recall@20": [0.5, 0.52], "mrr@20": [0.2, 0.21]}
    return Final(preset="default", values=values, intervals={"recall@20": recall, "mrr@20": mrr}, num_targets=100)


@pytest.mark.parametrize(
    ("recall", "mrr", "verdict"),
    [
        ([0.01, 0.03], [0.005, 0.015], "is better than the preset default in recall@20 and mrr@20."),
        ([0.01, 0.03], [-0.005, 0.015], "is better than the preset default in recall@20."),
        ([-0.03, -0.01], [-0.005, 0.015], "is worse than the preset default in recall@20."),
        ([0.01, 0.03], [-0.02, -0.01], "is better than the preset default in recall@20 and worse in mrr@20."),
        ([-0.01, 0.03], [0.0, 0.01], "is not clearly better or worse on the test sessions than the preset default."),
    ],
)
def test_the_verdict_follows_the_intervals(recall, mrr, verdict):
    final = make_final(recall, mrr)
    assert final.verdict == f"The best trial {verdict}"
    assert [row[0] for row in final.rows] == ["recall@20", "mrr@20"]
    json.dumps(final.describe())


def test_the_verdict_where_no_trial_was_better():
    final = Final(preset="default", values={"recall@20": [0.5]}, intervals={}, num_targets=100)
    assert final.verdict == "No trial was better on the validation sessions than the preset default."
    assert (final.titles, final.rows) == (["preset default"], [["recall@20", "0.5000"]])
