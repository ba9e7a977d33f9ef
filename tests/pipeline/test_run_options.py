import click
import pytest
from factories import make_events

from components.core.events import write_split
from components.core.logs.layout_table import LAYOUTS
from pipeline import presets
from pipeline.run_options import OPTIONS, make_local_run
from pipeline.tasks import Tasks


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """Files in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c", "log.csv", "lr=[1] 'x' *.csv"):
        (tmp_path / name).write_text("x")
    return tmp_path


def choose(*settings, preset="", layout="", **options):
    return make_local_run({**dict.fromkeys(OPTIONS), **options}, settings, preset, Tasks(), layout=layout)


SPLITS = {"train_path": "a", "valid_path": "b", "test_path": "c"}


@pytest.mark.parametrize("is_set", [set(), {"valid_path"}, set(SPLITS)])
def test_a_log_may_be_an_option_or_a_setting(logs, is_set):
    settings = [f"{name}={SPLITS[name]}" for name in is_set]
    run = choose(*settings, **{name: path for name, path in SPLITS.items() if name not in is_set})
    assert run.pipeline.name == "two-tower-training"
    assert run.arguments == {name: str(logs / path) for name, path in SPLITS.items()}
    assert set(run.inputs) == {logs / path for path in SPLITS.values()}
    assert not run.needs_sample_log


def test_a_raw_log_may_be_an_option_or_a_setting(logs):
    option = choose(log_path="log.csv", as_of="2015-09-18")
    setting = choose("log_path=log.csv", "as_of=2015-09-18")
    for run in (option, setting):
        assert run.pipeline.name == "two-tower-retraining"
        assert run.arguments == {"log_path": str(logs / "log.csv"), "as_of": "2015-09-18"}


def test_the_table_of_items_is_checked_before_anything_runs(logs):
    (logs / "items.csv").write_text("item;title\n1;Chair\n")
    for run in (choose(log_path="log.csv", items_path="items.csv"), choose("items_path=items.csv", log_path="log.csv")):
        assert run.arguments["items_path"] == str(logs / "items.csv")
        assert logs / "items.csv" in run.inputs
    (logs / "items.csv").write_text("item,colour\n1,red\n")
    with pytest.raises(ValueError, match=r"a column title with the item's title. Received: item, colour"):
        choose(log_path="log.csv", items_path="items.csv")
    with pytest.raises(FileNotFoundError, match="Expected --items to be a file, a folder or a glob"):
        choose(log_path="log.csv", items_path="gone.csv")


@pytest.mark.parametrize(
    ("location", "argument", "inputs"),
    [
        ("*.csv", "{logs}/*.csv", ["{logs}"]),
        (".", "{logs}", ["{logs}"]),
        ("lr=[1] 'x' *.csv", "{logs}/lr=[1] 'x' *.csv", ["{logs}/lr=[1] 'x' *.csv"]),
        ("s3://bucket/[x]/*.csv", "s3://bucket/[x]/*.csv", []),
    ],
)
def test_a_log_is_a_file_a_folder_a_glob_or_an_address(logs, location, argument, inputs):
    run = choose(log_path=location)
    assert run.arguments["log_path"] == argument.format(logs=logs)
    assert [str(path) for path in run.inputs] == [path.format(logs=logs) for path in inputs]


def test_a_link_keeps_its_name_whose_suffix_says_what_the_log_is(logs):
    (logs / "link.csv").symlink_to("a")
    assert choose(log_path="link.csv").arguments["log_path"] == str(logs / "link.csv")


def test_without_a_log_the_sample_is_run(logs):
    run = choose("max_epochs=2")
    assert run.needs_sample_log
    assert run.arguments == {**presets.PRESETS[presets.SAMPLE], "max_epochs": 2}


def test_the_events_of_a_previous_run_are_those_that_a_link_leads_to_now(logs):
    for run_id in ("1", "2"):
        write_split(make_events({"s": ["i"]}), logs / run_id / "events", "train")
    (logs / "current").symlink_to("1")
    run = choose("previous_events=current/events", log_path="log.csv")
    assert run.arguments["previous_events"] == str(logs / "1" / "events")
    assert logs / "1" / "events" in run.inputs


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"train_path": "a"}, ["train_path=a"], r"Expected --train or --set train_path=\.\.\. Received: both"),
        ({"log_path": "log.csv"}, ["log_path=x"], r"Expected --events or --set log_path=\.\.\. Received: both"),
        (
            {"log_path": "log.csv", "as_of": "2015-09-18"},
            ["as_of=2015-09-18"],
            r"Expected --as-of or --set as_of=\.\.\. Received: both",
        ),
        ({}, ["max_epochs=1", "max_epochs=1"], r"Expected --set max_epochs=\.\.\. once"),
        ({}, ["train_path=a"], "Missing: --valid, --test"),
        ({"valid_path": "b"}, ["train_path=a"], "Missing: --test"),
        ({"log_path": "log.csv"}, ["train_path=a"], "Expected --events or --train, --valid and --test. Received: both"),
        ({"train_path": "a"}, ["log_path=log.csv"], "Expected --events or --train, --valid and --test. Received: both"),
        ({}, ["as_of=2015-09-18"], "Expected --as-of together with --events"),
        ({"as_of": "2015-09-18"}, [], "Expected --as-of together with --events"),
        ({}, ["checkpoint_root=/elsewhere"], "The run sets checkpoint_root itself"),
        ({}, ["records_uri=/elsewhere"], "The run sets records_uri itself"),
    ],
)
def test_two_sources_for_one_value_and_half_of_a_log_are_refused_by_name(logs, options, settings, message):
    with pytest.raises(click.UsageError, match=message):
        choose(*settings, **options)


def test_a_preset_of_the_other_pipeline_is_refused_by_what_it_sets(logs):
    with pytest.raises(
        click.UsageError,
        match=r"'notebook' cannot be combined with --events: .* has no parameter sample_fraction, sample_unit",
    ):
        choose(log_path="log.csv", preset="notebook")
    with pytest.raises(ValueError, match="Expected a preset, one of "):
        choose(preset="retail")


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({**SPLITS, "valid_path": "nowhere"}, [], "Expected --valid to be a file, .* Received: nowhere"),
        ({}, ["train_path=a", "valid_path=b", "test_path=/no"], "Expected --test to be a file, .* Received: /no"),
        ({"log_path": "lr=[1]/*.csv"}, [], r"Expected --events to be a file, .* Received: lr=\[1\]/\*\.csv"),
        ({"log_path": ""}, [], "Expected a path for --events. Received: an empty string"),
        (SPLITS, ["previous_events=gone"], r"Expected --set previous_events=\.\.\. to be .* Received: gone"),
    ],
)
def test_what_is_not_there_is_said_before_the_run(logs, options, settings, message):
    with pytest.raises(FileNotFoundError, match=message):
        choose(*settings, **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_raw_log_gets_all_settings_of_its_layout(logs, layout):
    run = choose(log_path="log.csv", layout=layout)
    assert run.arguments == {**LAYOUTS[layout].settings, "log_path": str(logs / "log.csv")}
    assert run.arguments.keys() <= run.pipeline.component_spec.inputs.keys()


def test_a_setting_or_an_option_overrides_the_layout_which_overrides_the_preset(logs, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "small", {"max_epochs": 2, "test_days": 3, "valid_days": 3})
    run = choose("test_days=2", log_path="log.csv", as_of="2017-12-01", preset="small", layout="taobao")
    assert run.arguments["max_epochs"] == 2
    assert run.arguments["valid_days"] == LAYOUTS["taobao"].settings["valid_days"] == 1
    assert run.arguments["test_days"] == 2
    assert run.arguments["as_of"] == "2017-12-01"


@pytest.mark.parametrize(
    ("layout", "settings"),
    [
        ("gru4rec", {"session_column": "SessionId", "item_column": "ItemId", "time_column": "Time", "delimiter": "\t"}),
        (
            "diginetica",
            {
                "session_column": "sessionId",
                "item_column": "itemId",
                "time_column": "eventdate",
                "time_format": "iso",
                "time_offset_column": "timeframe",
                "delimiter": ";",
            },
        ),
    ],
)
def test_split_logs_get_the_settings_of_their_layout_that_describe_files(logs, layout, settings):
    arguments = choose(layout=layout, **SPLITS).arguments
    assert arguments == {**settings, **{name: str(logs / path) for name, path in SPLITS.items()}}


@pytest.mark.parametrize(
    ("layout", "options", "message"),
    [
        ("movielens", SPLITS, "whose log contains sessions .* Received: movielens, whose sessions are cut from a raw"),
        ("otto", SPLITS, "every event counts .* Received: otto, whose events are selected by type from a raw log"),
        ("hm", {}, "Expected --layout together with a log. Received: --layout alone"),
        ("movie", {"log_path": "log.csv"}, "Expected a layout, one of retailrocket, .* Received: 'movie'"),
    ],
)
def test_a_layout_that_cannot_be_used_is_refused_with_the_reason(logs, layout, options, message):
    with pytest.raises(click.UsageError, match=message):
        choose(layout=layout, **options)
