import sys

import pytest
from click.testing import CliRunner

from pipeline import __main__ as command_line
from pipeline import local
from pipeline.presets import PRESETS
from pipeline.training import make_training_pipeline

INPUTS = make_training_pipeline().component_spec.inputs


def test_settings_are_typed():
    settings = ("query_tower=gru", "max_epochs=3", "dropout=0.5", "refit=True", "evaluate_ks=5,10")
    assert command_line.parse_settings(settings, INPUTS) == {
        "query_tower": "gru", "max_epochs": 3, "dropout": 0.5, "refit": True, "evaluate_ks": [5, 10],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs=3", "Expected NAME=VALUE with one of the names .*max_epochs.* Received: epochs=3"),
        ("max_epochs", "Expected NAME=VALUE"),
        ("max_epochs=many", "Expected max_epochs to be of the type Integer. Received: 'many'"),
        ("refit=maybe", "Expected refit to be of the type Boolean. Received: 'maybe'"),
        ("evaluate_ks=5;10", "Expected evaluate_ks to be of the type .* Received: '5;10'"),
    ],
)
def test_a_wrong_setting_is_said(setting, message):
    with pytest.raises(ValueError, match=message):
        command_line.parse_settings((setting,), INPUTS)


def test_files_come_together(tmp_path):
    log = tmp_path / "train.tsv"
    log.touch()
    result = CliRunner().invoke(command_line.cli, ["run", "--train", str(log)])
    assert result.exit_code == 2
    assert "Missing: --valid, --test" in result.output


@pytest.fixture
def arguments_of(monkeypatch, tmp_path):
    """The arguments that the pipeline would be run with."""
    seen = {}

    def run_training(pipeline, arguments, output_dir, *, runner=None):
        seen.update(arguments)
        raise local.RunError("stopped by the test")

    monkeypatch.setattr(local, "run_training", run_training)

    def arguments(*options):
        result = CliRunner().invoke(command_line.cli, ["run", "--output", str(tmp_path), *options])
        assert isinstance(result.exception, local.RunError)
        return seen

    return arguments


def test_without_files_the_sample_log_is_made(arguments_of, tmp_path):
    seen = arguments_of()
    assert (tmp_path / "sample_log" / "train.tsv").is_file()
    assert seen["train_path"] == str(tmp_path / "sample_log" / "train.tsv")
    assert seen["embedding_dim"] == PRESETS["sample"]["embedding_dim"]


def test_a_setting_overrides_the_preset(arguments_of):
    assert arguments_of("--preset", "notebook", "--set", "max_epochs=7")["max_epochs"] == 7


def test_what_a_user_can_mend_ends_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["two-tower", "recommend", "--index", str(tmp_path), "--session", "i1"])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("two-tower: Expected an index")
