"""The command `check` on real files, in this process."""

import json
import shutil
import signal
import sys

import pytest
from public_logs import SAMPLES

from components.core.events import SPLITS, read_split
from components.core.intake.data_report import DataReport
from pipeline import __main__ as command_line
from pipeline.exit_codes import ExitCode


@pytest.fixture
def check(monkeypatch, capfd):
    """Runs `check`; gives its exit code, what it printed, and what it printed as errors."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["two-tower", "check", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as stopped:
            command_line.main()
        return int(stopped.value.code), *capfd.readouterr()

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def raw_log(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(SAMPLES["retailrocket"])
    return path


# Every item of the small log is frequent enough.
ALL_ITEMS = ["--set", "min_item_support=1"]


def test_a_raw_log_is_split_and_reported(check, raw_log, tmp_path):
    code, printed, errors = check(raw_log, *ALL_ITEMS)
    assert (code, errors) == (ExitCode.DONE, "")
    words = " ".join(printed.split())
    assert "│ events │ 2 │ 2 │ 2 │" in words
    assert "│ first event │ 2020-01-01 00:00 │ 2020-01-11 00:00 │ 2020-01-21 00:00 │" in words
    assert "2 splits are too small for metrics: valid has 2 events and test has 2 events; " in words
    assert [path.name for path in tmp_path.iterdir()] == ["events.csv"]


def test_the_funnel_is_printed(check, raw_log):
    words = " ".join(check(raw_log, *ALL_ITEMS)[1].split())
    assert words.startswith("events read 10 100.0% ")
    assert "- event type: addtocart 1 10.0%" in words
    assert "train 2 20.0% valid 2 20.0% test 2 20.0%" in words


def test_ids_that_are_probably_missing_values_are_named(check, raw_log):
    raw_log.write_text(raw_log.read_text().replace(",10,", ",NULL,"))
    words = " ".join(check(raw_log, *ALL_ITEMS)[1].split())
    assert "ids are probably missing values, but are read as texts like any other: item NULL (" in words
    assert "If they are, leave these fields of the log empty: such lines are rejected." in words


def test_split_logs_are_checked_together(check, small_log):
    code, printed, errors = check(*(small_log[split] for split in SPLITS), "--json")
    assert (code, errors) == (ExitCode.DONE, "")
    report = json.loads(printed)
    lines = [small_log[split].read_text().count("\n") - 1 for split in SPLITS]
    assert report["num_lines"] == sum(lines)
    assert [report["splits"][split]["num_events"] for split in SPLITS] == lines


def test_json_is_the_report_of_the_artifact_that_may_be_kept(check, raw_log, tmp_path):
    code, printed, _ = check(raw_log, *ALL_ITEMS, "--json", "--keep", tmp_path / "kept")
    assert code == ExitCode.DONE
    assert DataReport.parse(printed.encode(), "stdout") == DataReport.read(tmp_path / "kept" / "report.json")
    assert read_split(tmp_path / "kept", "test")["item_id"].to_pylist() == ["20", "10"]


def test_the_layout_the_settings_and_the_window_are_those_of_run(check, tmp_path):
    path = tmp_path / "UserBehavior.csv"
    path.write_text(SAMPLES["taobao"])
    options = ["--layout", "taobao", "--as-of", "2017-12-04T00:00+08:00", *ALL_ITEMS]
    code, printed, errors = check(path, *options, "--json")
    assert (code, errors) == (ExitCode.DONE, "")
    assert json.loads(printed)["funnel"]["dropped"]["outside the window"] == 1
    code, _, errors = check(path, "--layout", "taobao", *ALL_ITEMS)  # up to an event of 2037
    assert code == ExitCode.REFUSED
    assert "Expected at least one event in" in errors


def test_the_window_ends_at_as_of(check, raw_log):
    assert check(raw_log, *ALL_ITEMS, "--as-of", "2020-01-21T00:00:02Z")[0] == ExitCode.DONE
    code, _, errors = check(raw_log, *ALL_ITEMS, "--as-of", "2020-01-01")
    assert code == ExitCode.REFUSED
    assert "Expected at least one event in" in errors


def test_a_folder_that_holds_something_is_not_kept_into(check, small_log, tmp_path):
    """It may hold the very logs that are checked."""
    for split in SPLITS:
        shutil.copy(small_log[split], tmp_path / f"{split}.parquet")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, _, errors = check(*(small_log[split] for split in SPLITS), "--keep", tmp_path)
    assert code == ExitCode.USAGE
    assert f"Expected --keep to be a new or empty folder. Received: {tmp_path}, which is not empty" in errors
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_events_are_kept_in_the_empty_folder_of_the_shell(check, raw_log, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert check(raw_log, *ALL_ITEMS, "--keep", ".")[0] == ExitCode.DONE
    assert (tmp_path / "here" / "train.parquet").is_file()


def test_a_refused_log_says_why_and_how_to_keep_the_rejected_lines(check, raw_log, tmp_path):
    raw_log.write_text(raw_log.read_text().replace("1577836800000", "soon"))
    code, printed, errors = check(raw_log, *ALL_ITEMS)
    assert (code, printed) == (ExitCode.REFUSED, "")
    assert "Expected at most 1.00% of the lines to be rejected (max_rejected_share). Received: 1 of" in errors
    assert errors.endswith(". Add --keep DIR to keep all rejected lines\n")
    assert errors.count("\n") == 1
    code, _, errors = check(raw_log, *ALL_ITEMS, "--keep", tmp_path / "kept")
    assert code == ExitCode.REFUSED
    assert errors.endswith(f". All rejected lines are in {tmp_path}/kept/rejected.parquet\n")
    assert (tmp_path / "kept" / "rejected.parquet").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{log}", "{log}"], ExitCode.USAGE, "Expected one raw log, or three logs: train, valid and test. Received: 2"),
        ([], ExitCode.USAGE, "Missing argument 'PATH...'"),
        (
            ["{log}", "--set", "max_epochs=3"],
            ExitCode.USAGE,
            "Expected a parameter of sessionize, the only step that check runs on these paths. Received: max_epochs, "
            "a parameter of train",
        ),
        (
            ["{log}", "{log}", "{log}", "--set", "event_types=view"],
            ExitCode.USAGE,
            "Expected a parameter of ingest, the only step that check runs on these paths. Received: event_types, "
            "a parameter of sessionize",
        ),
        (
            ["{log}", "{log}", "{log}", "--as-of", "2020-01-01"],
            ExitCode.USAGE,
            "Received: as_of, a parameter of sessionize",
        ),
        (["{log}", "--set", "log_path=x"], ExitCode.USAGE, "Expected the paths of the logs as arguments"),
        (["{log}", "--set", "epochs=3"], ExitCode.REFUSED, "Expected a parameter of the pipeline. Received: 'epochs'"),
        (["{log}", "--set", "test_days=two"], ExitCode.REFUSED, "Expected test_days to be of the type Integer"),
        (["{log}", "--set", "test_days=1", "--set", "test_days=2"], ExitCode.USAGE, "once. Received: twice"),
        (["{log}", "--layout", "movie"], ExitCode.USAGE, "'movie' is not one of 'retailrocket'"),
        (["{log}", "{log}", "{log}", "--layout", "movielens"], ExitCode.USAGE, "whose log contains sessions"),
        (["nowhere"], ExitCode.REFUSED, "Received: nowhere"),
    ],
)
def test_what_check_cannot_do_is_said(check, raw_log, arguments, code, message):
    found, printed, errors = check(*(argument.format(log=raw_log) for argument in arguments))
    assert (found, printed) == (code, "")
    assert message in errors
