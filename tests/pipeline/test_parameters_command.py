import json

import pytest
from click.testing import CliRunner

from pipeline.__main__ import cli
from pipeline.names import explain_unknown, suggest
from pipeline.parameter_table import list_parameters
from pipeline.retraining import make_retraining_pipeline
from pipeline.training import make_training_pipeline
from pipeline.tuning import make_tuning_pipeline


def run(*arguments):
    return CliRunner().invoke(cli, ["parameters", *arguments])


def test_every_parameter_of_the_pipelines_is_listed_with_its_meaning():
    pipelines = [make_training_pipeline(), make_retraining_pipeline(), make_tuning_pipeline()]
    inputs = [pipeline.component_spec.inputs for pipeline in pipelines]
    listed = list_parameters()
    assert listed.keys() == {name for each in inputs for name in each} - {"checkpoint_root", "records_uri"}
    for name, parameter in listed.items():
        specs = [each[name] for each in inputs if name in each]
        assert parameter.description in [spec.description for spec in specs]
        assert all(spec.default in [*parameter.defaults.values(), None] for spec in specs)
    text = run().output
    assert all(f"  {name} = " in text for name in listed)


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("query_tower", "one of session_id, last_item, mean, gru, attention, gru_attention"),
        ("embedding_dim", "at least 1"),
        ("trend_weight", "from 0 to 1"),
        ("sample_fraction", "above 0 and at most 1"),
        ("random_seed", "from 0 to 2147483647"),
        ("keep_versions", "at least 2, so that a version is left to roll back to"),
        ("min_item_count", "at least 1"),
        ("refit", ""),
    ],
)
def test_bounds_are_those_that_the_step_checks(name, bounds):
    assert list_parameters()[name].bounds == bounds


def test_one_parameter_is_described_with_the_values_of_the_presets():
    lines = run("embedding_dim").output.splitlines()
    assert "default:           128" in lines
    assert "preset sample:     64" in lines
    assert "preset notebook:   32" in lines


def test_defaults_that_differ_are_named_by_step():
    assert "default:           ItemId (ingest), itemid (sessionize)" in run("item_column").output


def test_json_has_the_value_of_the_preset():
    (found,) = json.loads(run("embedding_dim", "--json", "--preset", "sample").output)
    assert (found["defaults"], found["preset"]) == ({"train": 128}, 64)


def test_a_misspelt_name_is_answered_by_the_one_that_was_meant():
    result = run("embeding_dim")
    assert isinstance(result.exception, ValueError)
    assert str(result.exception) == "Expected a parameter. Received: 'embeding_dim'. Did you mean embedding_dim?"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("max_epoch", "max_epochs"),
        ("epochs", "max_epochs"),
        ("lr", ""),
        ("learning-rate", "learning_rate"),
        ("batchsize", "batch_size"),
        ("zzz", ""),
    ],
)
def test_the_closest_names_are_suggested(name, expected):
    assert expected in suggest(name, list_parameters())
    assert bool(suggest(name, list_parameters())) is bool(expected)


def test_the_message_is_short():
    message = explain_unknown("max_epoch", list_parameters(), {})
    assert message.startswith("Expected a parameter of the pipeline. Received: 'max_epoch'. Did you mean max_epochs")
    assert len(message) < 200


RAW = "the pipeline over a raw log (--events)"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("window_days", f"Only {RAW} has it."),
        ("windw_days", f"Did you mean window_days? Only {RAW} has window_days."),
        ("train_pth", "Did you mean train_path?"),
        ("lag_path", f"Did you mean log_path or train_path? Only {RAW} has log_path."),
        ("day", f"Did you mean day_end or day_start? Only {RAW} has day_end and day_start."),
        ("colour", ""),
    ],
)
def test_a_parameter_of_another_pipeline_is_explained_by_its_owner(name, advice):
    raw = ("window_days", "log_path", "day_start", "day_end", "train_path")
    owners = dict.fromkeys(raw, RAW)  # a known parameter is no other's
    message = explain_unknown(name, ["train_path", "batch_size"], owners)
    begin = f"Expected a parameter of the pipeline. Received: {name!r}."
    assert message == " ".join(part for part in (begin, advice, "`two-tower parameters` lists all.") if part)
