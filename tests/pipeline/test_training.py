import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from components.core.parameters import TrainParameters
from components.evaluate.component import evaluate
from components.ingest.component import ingest
from components.ingest.step import IngestParameters
from components.train.component import train
from pipeline.presets import PRESETS, get_preset
from pipeline.training import make_training_pipeline

GOLDEN = Path(__file__).with_name("training.yaml")
ROOT = Path(__file__).parents[2]


def compile_to(path: Path) -> str:
    subprocess.run(
        [sys.executable, "compile.py", "-o", str(path), "--image", "registry.example/two-tower:golden"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return path.read_text()


def test_compiled_pipeline_is_the_golden_one(tmp_path):
    # After a wanted change:
    # python compile.py -o tests/pipeline/training.yaml --image registry.example/two-tower:golden
    assert compile_to(tmp_path / "training.yaml") == GOLDEN.read_text()


def test_every_parameter_has_a_type_and_a_description():
    parameters = yaml.safe_load(GOLDEN.read_text())["root"]["inputDefinitions"]["parameters"]
    assert [name for name, spec in parameters.items() if not spec.get("description") or not spec["parameterType"]] == []


def test_nothing_is_installed_when_a_task_starts():
    executors = yaml.safe_load(GOLDEN.read_text())["deploymentSpec"]["executors"]
    commands = [" ".join(executor["container"]["command"]) for executor in executors.values()]
    assert len(commands) == 5
    assert not any(re.search(r"\bpip\b|ensurepip|apt-get", command) for command in commands)


def test_what_reads_the_outside_world_is_never_cached():
    tasks = yaml.safe_load(GOLDEN.read_text())["root"]["dag"]["tasks"]
    assert {name for name, task in tasks.items() if not task["cachingOptions"].get("enableCache")} == {"ingest"}


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
