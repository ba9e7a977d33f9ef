"""The pipelines that search for parameters: what a cluster gets, and a run of them on this machine."""

import json

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from kfp.pipeline_spec import pipeline_spec_pb2

from components.core.saved_model import read_training
from pipeline.cluster.submission import Submission
from pipeline.compilation import compile_pipeline
from pipeline.local import run_pipeline
from pipeline.output_folder import OutputFolder
from pipeline.tasks import Tasks

IMAGE = "registry.example/two-tower:1"
ROUNDS = 2


@pytest.fixture(scope="module")
def compiled():
    tasks = Tasks(image=IMAGE, platform="kfp", search_rounds=ROUNDS, checkpoint_claim="checkpoints")
    return list(yaml.safe_load_all(compile_pipeline("tuning", tasks).text))


def component_of(spec, body):
    return spec["components"][body["componentRef"]["name"]]


def artifacts_of(body):
    artifacts = body.get("inputs", {}).get("artifacts", {})
    return {name: source["taskOutputArtifact"]["producerTask"] for name, source in artifacts.items()}


def test_rounds_are_unrolled_and_the_best_point_is_trained_and_tested_once(compiled):
    spec = compiled[0]
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    tasks = spec["root"]["dag"]["tasks"]
    rounds = {name: body for name, body in tasks.items() if "parameterIterator" in body}
    assert len(rounds) == ROUNDS
    suggesting = [name for name in tasks if name.startswith("suggest")]
    assert suggesting == ["suggest", *(f"suggest-{number}" for number in range(2, ROUNDS + 2))]
    for number, (name, body) in enumerate(rounds.items()):
        items = body["inputs"]["parameters"][body["parameterIterator"]["items"]["inputParameter"]]
        assert items["taskOutputParameter"] == {"outputParameterKey": "Output", "producerTask": suggesting[number]}
        (trial,) = component_of(spec, body)["dag"]["tasks"].values()
        constants = {
            key: source["runtimeValue"]["constant"]
            for key, source in trial["inputs"]["parameters"].items()
            if "runtimeValue" in source and "task_name" not in key
        }
        assert constants == {
            "trial": True, "refit": False, "records_uri": "", "checkpoint_root": "/checkpoints",
            "run_id": "{{$.pipeline_job_uuid}}",
        }  # fmt: skip
        told = tasks[suggesting[number + 1]]["inputs"]
        assert told["parameters"]["outcomes"]["taskOutputParameter"]["producerTask"] == name
        last = told["parameters"]["trials_per_round"]
        assert ("runtimeValue" in last) == (number == ROUNDS - 1)
    assert last["runtimeValue"] == {"constant": 0.0}
    for name in ("evaluate", "export", "report"):
        assert len([task for task in tasks if task.startswith(name)]) == 1
    (final,) = (body for name, body in tasks.items() if name.startswith("train"))
    best = final["inputs"]["parameters"]["point"]["taskOutputParameter"]
    assert best == {"outputParameterKey": "best", "producerTask": suggesting[-1]}
    assert final["inputs"]["parameters"]["refit"] == {"runtimeValue": {"constant": True}}
    assert artifacts_of(tasks[suggesting[-1]]) == {"earlier_trials": suggesting[-2]}


def test_trials_read_the_vocabulary_of_train_and_the_best_one_that_of_both(compiled):
    tasks = compiled[0]["root"]["dag"]["tasks"]
    refits = {
        name: body["inputs"]["parameters"]["refit"]["runtimeValue"]["constant"]
        for name, body in tasks.items()
        if name.startswith("vocabulary")
    }
    assert sorted(refits.values()) == [False, True]
    (of_trials,) = (name for name, refit in refits.items() if not refit)
    (of_best,) = refits.keys() - {of_trials}
    for body in tasks.values():
        if "parameterIterator" in body:
            assert of_trials in artifacts_of(body).values()
    (final,) = (body for name, body in tasks.items() if name.startswith("train"))
    assert artifacts_of(final)["vocabulary"] == of_best


def test_trials_have_the_resources_and_the_checkpoints_of_a_training(compiled):
    spec, platform = compiled
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    trainings = [name for name in spec["deploymentSpec"]["executors"] if name.startswith("exec-train")]
    assert len(trainings) == ROUNDS + 1
    for name in trainings:
        assert spec["deploymentSpec"]["executors"][name]["container"]["resources"]["resourceMemoryLimit"] == "32Gi"
        assert pods[name]["pvcMount"][0]["mountPath"] == "/checkpoints"


@pytest.mark.parametrize("name", ["tuning", "raw-tuning"])
def test_the_parameters_are_those_of_a_run_and_of_the_search(name):
    inputs = compile_pipeline(name, Tasks(image=IMAGE, platform="vertex", search_rounds=1)).inputs
    assert {"search_space", "search_sampler", "trials_per_round", "learning_rate", "records_uri"} <= inputs.keys()
    assert not {"refit", "point", "trial", "outcomes", "serving_uri", "warm_start", "run_id"} & inputs.keys()
    assert ("log_path" in inputs) == (name == "raw-tuning")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("dropot: {low: 0.1, high: 0.2}", "Did you mean dropout"),
        ("dropout: {low: 0.1, high: 2.0}", "dropout=2.0, which the training refuses"),
        ("dropout: 0.1", "Expected dropout in the space to be"),
    ],
)
def test_a_wrong_space_is_refused_before_anything_is_sent(space, message):
    paths = {f"{split}_path": f"s3://logs/{split}.tsv" for split in ("train", "valid", "test")}
    tasks = Tasks(image=IMAGE, platform="kfp", search_rounds=1)
    Submission(pipeline="tuning", tasks=tasks, parameters={**paths, "search_space": "default"})
    with pytest.raises(ValueError, match="Expected ") as refusal:
        Submission(pipeline="tuning", tasks=tasks, parameters={**paths, "search_space": space})
    assert message in str(refusal.value)


def test_no_rounds_are_refused():
    with pytest.raises(ValueError, match="Expected at least 1 round of trials"):
        Tasks(search_rounds=0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_runs_on_this_machine(small_log, tmp_path):
    """The compiled YAML itself, with two rounds of two trials at the same time, hence in processes of their own."""
    path = tmp_path / "tuning.yaml"
    path.write_text(compile_pipeline("tuning", Tasks(image=IMAGE, platform="vertex", search_rounds=ROUNDS)).text)
    arguments = {
        **{f"{split}_path": str(log) for split, log in small_log.items()},
        "query_tower": "mean", "embedding_dim": 8, "num_negatives": 32, "batch_size": 256, "max_epochs": 2,
        "search_space": "dropout: {low: 0.0, high: 0.4, step: 0.1}\nloss: {choices: [sampled, full]}",
        "trials_per_round": 2,
    }  # fmt: skip
    with OutputFolder(tmp_path / "output") as folder:
        made = run_pipeline(components.load_component_from_file(str(path)), arguments, folder)
    trials = json.loads(made["trials"].read_text())
    assert [trial["number"] for trial in trials] == [1, 2, 3, 4]
    assert trials[0]["point"] == {}
    assert [trial["state"] for trial in trials] == ["complete"] * 4
    best = max(trials, key=lambda trial: trial["value"])
    training = read_training(made["model"])
    assert training["parameters"] == {**best["parameters"], "refit": True}
    assert training["refit"]
    assert json.loads(made["metrics"].read_text())["model"]["recall@20"] > 0.1
    assert f"The best is trial {best['number']}" in made["search_report"].read_text()
