import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from components.evaluate.component import evaluate
from components.ingest.component import ingest
from components.ingest.step import IngestParameters
from components.train.component import train
from components.train.parameters import TrainParameters
from pipeline.presets import PRESETS, get_preset
from pipeline.training import make_training_pipeline

ROOT = Path(__file__).parents[2]


def test_compiling_loads_no_tensorflow():
    code = "import pipeline.training, pipeline.__main__, sys; assert not {'tensorflow', 'tf_keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def defaults(component) -> dict:
    return {name: spec.default for name, spec in component.component_spec.inputs.items() if spec.optional}


def test_a_default_has_one_value_wherever_it_stands():
    pipeline = defaults(make_training_pipeline())
    for component in (ingest, train, evaluate):
        for name in pipeline.keys() & defaults(component).keys():
            assert pipeline[name] == defaults(component)[name], name
    for dataclass, component in ((TrainParameters, train), (IngestParameters, ingest)):
        for field in fields(dataclass):
            if field.name == "acceptance":  # which the steps that read logs share, see test_retraining.py
                continue
            assert defaults(component)[field.name] == field.default, field.name


@pytest.mark.parametrize("name", PRESETS)
def test_presets_set_parameters_that_there_are(name):
    preset = get_preset(name)
    assert set(preset) <= set(defaults(make_training_pipeline()))
    TrainParameters(**{key: value for key, value in preset.items() if key in TrainParameters.__dataclass_fields__})


def test_an_unknown_preset_says_which_there_are():
    with pytest.raises(ValueError, match=r"Expected a preset, one of sample, seed, retailrocket\. Received: 'best'"):
        get_preset("best")
