"""What a failed run advises."""

import re

import pytest

from pipeline.display import Detail, Display
from pipeline.failures import explain
from pipeline.kfp_runner import RunError
from pipeline.output_folder import OutputFolder
from pipeline.retraining import make_retraining_pipeline
from pipeline.training import make_training_pipeline


@pytest.mark.parametrize(
    ("make", "other_logs"),
    [
        (make_training_pipeline, "window_days for a raw log"),
        (make_retraining_pipeline, "sample_fraction for split logs"),
    ],
)
def test_a_pipeline_has_the_parameters_that_are_advised_after_its_step_was_killed(tmp_path, make, other_logs):
    error = RunError("The process of the step was killed by signal 9.", task="train")
    text = explain(error, tmp_path, OutputFolder(tmp_path), Display(detail=Detail.QUIET)).splitlines()[2]
    assert other_logs in text
    advised = re.findall(r"[a-z]+(?:_[a-z]+)+", text.replace(other_logs, ""))
    assert len(advised) == 2
    assert set(advised) <= make().component_spec.inputs.keys()
