import subprocess
import sys

import pytest
from click.testing import CliRunner
from factories import PATHS as ADDRESSES

from pipeline.__main__ import cli
from pipeline.cluster.cron import Cron
from pipeline.cluster.schedule import Schedule
from pipeline.cluster.submission import Submission
from pipeline.graph_parameters import COMPONENTS
from pipeline.tasks import Tasks
from pipeline.validation import check_index_package, check_values

TRAINING, RETRAINING = COMPONENTS["training"], COMPONENTS["retraining"]
PATHS = {"train_path": "/a", "valid_path": "/b", "test_path": "/c"}
RAW = {"log_path": "/log"}


@pytest.mark.parametrize(
    ("components", "values", "message"),
    [
        (TRAINING, {**PATHS, "sample_fraction": 2.0}, "Expected sample_fraction to be above 0"),
        (TRAINING, {**PATHS, "min_item_count": 0}, "Expected min_item_count to be at least 1"),
        (TRAINING, {**PATHS, "query_tower": "bert"}, "Expected query_tower to be one of"),
        (TRAINING, {**PATHS, "evaluate_ks": [0]}, "Expected evaluate_ks to be cut-offs of at least 1"),
        (RETRAINING, {**RAW, "as_of": "soon"}, "Expected as_of to be an ISO 8601 date"),
        (RETRAINING, {**RAW, "gate_min_targets": 0}, "Expected gate_min_targets to be at least 1"),
        (RETRAINING, {**RAW, "serving_uri": "/s", "keep_versions": 1}, "Expected keep_versions to be at least 2"),
        (RETRAINING, {**RAW, "warm_start": True}, "Expected serving_uri .* with warm_start=true"),
        (RETRAINING, {**RAW, "serving_uri": "ftp://s"}, "Expected a local folder, s3:.* Received: 'ftp://s'"),
    ],
)
def test_each_step_is_asked(components, values, message):
    with pytest.raises(ValueError, match=message):
        check_values(components, values)


def test_the_defaults_are_accepted():
    check_values(TRAINING, PATHS)
    check_values(RETRAINING, RAW)
    check_values(RETRAINING, {**RAW, "serving_uri": "/serving"})


def test_a_missing_package_is_named_before_the_run_and_not_after_the_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "scann", None)
    result = CliRunner().invoke(cli, ["run", "--set", "index_kind=scann", "--output", "out"], standalone_mode=False)
    assert isinstance(result.exception, ValueError)
    assert "Expected the package scann for index_kind scann: install scann 1.4.2" in str(result.exception)
    check_index_package({"index_kind": "brute_force"})
    check_index_package({})


def test_the_check_loads_no_tensorflow():
    code = (
        "import sys\n"
        "from pipeline.graph_parameters import COMPONENTS\n"
        "from pipeline.validation import check_values\n"
        "for components in COMPONENTS.values():\n"
        "    check_values(components, {'log_path': '/l', 'train_path': '/a',"
        " 'valid_path': '/b', 'test_path': '/c', 'serving_uri': '/s'})\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


CLUSTER = {
    "training": ADDRESSES,
    "retraining": {"log_path": "s3://logs/days", "serving_uri": "s3://models/shop"},
}


@pytest.mark.parametrize(
    ("pipeline", "values", "message"),
    [
        ("training", {"sample_fraction": 2.0}, "Expected sample_fraction to be above 0"),
        ("training", {"max_epochs": 0}, "Expected max_epochs to be at least 1"),
        ("training", {"loss": "in_batch"}, "Expected pointer to be false unless"),
        ("training", {"evaluate_ks": [0]}, "Expected evaluate_ks to be cut-offs of at least 1"),
        ("training", {"index_kind": "tree"}, "Expected index_kind to be one of"),
        ("retraining", {"as_of": "soon"}, "Expected as_of to be an ISO 8601 date"),
        ("retraining", {"gate_min_targets": 0}, "Expected gate_min_targets to be at least 1"),
        ("retraining", {"refit_min_overlap": 2.0}, "Expected refit_min_overlap to be from 0 to 1"),
        ("retraining", {"keep_versions": 1}, "Expected keep_versions to be at least 2"),
        ("retraining", {"warm_start": True, "serving_uri": ""}, "Expected serving_uri .* with warm_start=true"),
    ],
)
def test_values_are_checked_before_anything_is_submitted_or_scheduled(pipeline, values, message):
    def submit(values):
        tasks = Tasks(platform="kfp")
        submission = Submission(pipeline=pipeline, tasks=tasks, parameters={**CLUSTER[pipeline], **values})
        Schedule(name="weekly", cron=Cron(expression="0 3 * * 1"), submission=submission)

    submit({})
    with pytest.raises(ValueError, match=message):
        submit(values)


def test_a_step_whose_libraries_are_missing_is_not_checked_and_the_others_are():
    code = (
        "import sys\n"
        "for name in ('duckdb', 'ibis', 'numpy', 'obstore', 'pandas', 'pyarrow', 'scipy', 'tensorflow'):\n"
        "    sys.modules[name] = None\n"
        "from pipeline.graph_parameters import COMPONENTS\n"
        "from pipeline.validation import check_values\n"
        "for components in COMPONENTS.values():\n"
        "    check_values(components, {'sample_fraction': 2.0, 'as_of': 'soon', 'serving_uri': 's3://models'})\n"
        "try:\n"
        "    check_values(COMPONENTS['training'], {'max_epochs': 0})\n"
        "except ValueError as error:\n"
        "    assert 'Expected max_epochs to be at least 1' in str(error)\n"
        "else:\n"
        "    raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
