import subprocess
import sys
from pathlib import Path

import pytest

from components.train.parameters import TrainParameters
from pipeline.presets import DEFAULT, PRESETS, get_preset
from pipeline.training import make_training_pipeline

ROOT = Path(__file__).parents[2]


def test_compiling_loads_no_tensorflow():
    code = "import pipeline.training, pipeline.__main__, sys; assert not {'tensorflow', 'tf_keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_set_parameters_that_there_are(name):
    preset = get_preset(name)
    assert set(preset) <= make_training_pipeline().component_spec.inputs.keys()
    TrainParameters(**{key: value for key, value in preset.items() if key in TrainParameters.__dataclass_fields__})


def test_the_default_preset_is_what_the_signatures_say():
    assert get_preset(DEFAULT) == {}


def test_an_unknown_preset_says_which_there_are():
    with pytest.raises(ValueError, match=r"Expected a preset, one of default, sample, notebook\. Received: 'best'"):
        get_preset("best")
