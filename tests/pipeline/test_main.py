import os
import signal
import sys

import click
import pytest
from click.testing import CliRunner

from pipeline import __main__ as command_line
from pipeline import local
from pipeline.cluster.submission import ClusterError
from pipeline.exit_codes import ExitCode
from pipeline.output_folder import OutputFolder
from pipeline.presets import PRESETS
from pipeline.retraining import make_retraining_pipeline
from pipeline.settings import parse_settings
from pipeline.training import make_training_pipeline

INPUTS = {**make_training_pipeline().component_spec.inputs, **make_retraining_pipeline().component_spec.inputs}


def test_settings_are_typed():
    settings = ("query_tower=gru", "max_epochs=3", "dropout=0.5", "refit=True", "evaluate_ks=5,10")
    assert parse_settings(settings, INPUTS, {}) == {
        "query_tower": "gru", "max_epochs": 3, "dropout": 0.5, "refit": True, "evaluate_ks": [5, 10],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("event_types=view,addtocart", ["view", "addtocart"]),
        ("event_types=0", ["0"]),
        ('event_types=["a,b", "0"]', ["a,b", "0"]),
        ("event_types=[]", []),
        ("event_types=", []),
        ('event_types=["[x]"]', ["[x]"]),
        ("evaluate_ks=[5, 20]", [5, 20]),
        ("evaluate_ks=", []),
        ("data_errors=seconds", ["seconds"]),
        ('data_errors=["seconds"]', ["seconds"]),
    ],
)
def test_a_list_is_values_with_commas_or_json(setting, value):
    (parsed,) = parse_settings((setting,), INPUTS, {}).values()
    assert parsed == value
    assert list(map(type, parsed)) == list(map(type, value))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs=3", "parameter of the pipeline. Received: 'epochs'. Did you mean max_epochs"),
        ("max_epochs", "Expected NAME=VALUE"),
        ("max_epochs=many", "Expected max_epochs to be of the type Integer. Received: 'many'"),
        ("refit=maybe", "Expected refit to be of the type Boolean. Received: 'maybe'"),
        ("evaluate_ks=5;10", "Expected evaluate_ks to be of the type .* Received: '5;10'"),
        ("evaluate_ks=[5, 10", "evaluate_ks to be .*, or a JSON list of integers. Received: '\\[5, 10'"),
        ("evaluate_ks=[5, 10.5]", "evaluate_ks to be .*, or a JSON list of integers. Received: '\\[5, 10.5\\]'"),
        ("evaluate_ks=[true]", "evaluate_ks to be .*, or a JSON list of integers. Received: '\\[true\\]'"),
        ("event_types=[0]", "event_types to be .*, or a JSON list of texts. Received: '\\[0\\]'"),
        ("event_types=[view]", "event_types to be .*, or a JSON list of texts. Received: '\\[view\\]'"),
        ('event_types=["a"],b', "event_types to be .*, or a JSON list of texts. Received: "),
    ],
)
def test_a_wrong_setting_is_said(setting, message):
    with pytest.raises(ValueError, match=message):
        parse_settings((setting,), INPUTS, {})


@pytest.fixture
def arguments_of(monkeypatch, tmp_path):
    """The arguments that the pipeline would be run with."""
    seen = {}

    def run_training(pipeline, arguments, output_dir, **_):
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


@pytest.fixture
def main(monkeypatch, capfd):
    """Runs the command line; gives its exit code, what it printed, and what it printed as errors."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["two-tower", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            command_line.main()
        return int(stopped.value.code), *capfd.readouterr()

    yield run
    signal.signal(signal.SIGTERM, before)


def test_the_table_of_exit_codes():
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0, "REFUSED": 1, "USAGE": 2, "FAILED": 3, "CANCELLED": 4, "TIMED_OUT": 5, "PENDING": 6, "GATE": 7,
        "INTERRUPTED": 130,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [ClusterError, local.RunError])
def test_a_message_cannot_command_the_terminal(kind, main, monkeypatch):
    def refuse(*_, **__):
        raise kind("one \x1b[2J\ntwo")

    monkeypatch.setattr(command_line.cli, "main", refuse)
    assert main("run")[2].endswith(": one \\x1b[2J\ntwo\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (local.RunError("task"), ExitCode.FAILED),
        (ValueError("value"), ExitCode.REFUSED),
        (FileNotFoundError("file"), ExitCode.REFUSED),
        (PermissionError("permission"), ExitCode.REFUSED),
        (ClusterError("cluster"), ExitCode.REFUSED),
        (click.UsageError("usage"), ExitCode.USAGE),
        (click.ClickException("click"), ExitCode.REFUSED),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
)
def test_each_end_has_its_exit_code_and_one_message(error, code, main, monkeypatch, tmp_path):
    def run_training(*_, **__):
        raise error

    monkeypatch.setattr(local, "run_training", run_training)
    (tmp_path / "log").touch()
    found, _, errors = main("run", "--output", tmp_path, "--events", tmp_path / "log")
    assert found == code
    assert (str(error) or "interrupted") in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("arguments", [[], ["run", "--epochs", "3"], ["recommend"], ["fly"]])
def test_wrong_usage_keeps_the_code_of_click(arguments, main):
    assert main(*arguments)[0] == ExitCode.USAGE


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["recommend", "--help"]])
def test_help_is_done(arguments, main):
    assert main(*arguments)[0] == ExitCode.DONE


def test_sigterm_ends_like_ctrl_c(main, monkeypatch, tmp_path):
    monkeypatch.setattr(local, "run_training", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    (tmp_path / "log").touch()
    assert main("run", "--output", tmp_path, "--events", tmp_path / "log") == (
        ExitCode.INTERRUPTED,
        "",
        "\ntwo-tower: interrupted\n",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "/proc/output"], "two-tower: The output folder /proc/output cannot be used: "),
        (
            ["--train", "/no", "--valid", "/no", "--test", "/no"],
            "two-tower: Expected --train to be a file, a folder or",
        ),
        (["--set", "max_epochs=many"], "two-tower: Expected max_epochs to be of the type Integer. Received: 'many'"),
        (["--preset", "retail"], "two-tower: Expected a preset, one of "),
    ],
)
def test_what_can_be_known_before_the_run_is_refused_in_one_line(options, message, main, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, errors = main("run", *options)
    assert code == ExitCode.REFUSED
    assert errors.startswith(message)
    assert errors.count("\n") == 1
    assert not (tmp_path / "output").exists()


def test_a_second_run_is_refused_and_does_not_touch_the_log_of_the_first(main, tmp_path):
    with OutputFolder(tmp_path):
        code, _, errors = main("run", "--output", tmp_path)
    assert code == ExitCode.REFUSED
    assert errors.startswith(f"two-tower: Another run (process {os.getpid()}) writes to {tmp_path}. Wait until it ends")
    assert not (tmp_path / "sample_log").exists()


def test_recommend_without_an_index_says_so(main, tmp_path):
    code, _, errors = main("recommend", "--index", tmp_path, "--session", "i1")
    assert (code, errors) == (
        ExitCode.REFUSED,
        f"two-tower: Expected an index, a folder with saved_model.pb. Received: {tmp_path}\n",
    )
