import subprocess
import sys

import pytest

from pipeline.run_options import COMPONENTS
from pipeline.validation import check_values

TRAINING, RETRAINING = ({each.name: each for each in components} for components in COMPONENTS.values())
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
        (RETRAINING, {**RAW, "serving_uri": "ftp://s"}, "Expected"),
    ],
)
def test_each_step_is_asked(components, values, message):
    with pytest.raises(ValueError, match=message):
        check_values(components, values)


def test_the_defaults_are_accepted():
    check_values(TRAINING, PATHS)
    check_values(RETRAINING, RAW)
    check_values(RETRAINING, {**RAW, "serving_uri": "/serving"})


def test_the_check_loads_no_tensorflow():
    code = (
        "import sys\n"
        "from pipeline.run_options import COMPONENTS\n"
        "from pipeline.validation import check_values\n"
        "for components in COMPONENTS.values():\n"
        "    check_values({each.name: each for each in components}, {'log_path': '/l', 'train_path': '/a',"
        " 'valid_path': '/b', 'test_path': '/c', 'serving_uri': '/s'})\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
