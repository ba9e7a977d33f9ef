"""A pipeline's parameters are its components'."""

import inspect
from dataclasses import MISSING, fields

import pytest
from kfp import dsl

from components.core.intake.draft import Acceptance
from components.core.intake.drift import DriftBounds
from components.core.logs.columns import LogForm
from components.core.parameters import make_parameters
from components.evaluate.component import evaluate
from components.evaluate.step import EvaluateParameters
from components.export.component import export
from components.gate.component import gate
from components.gate.parameters import GateParameters
from components.ingest.component import ingest
from components.ingest.step import IngestParameters
from components.notify.component import notify
from components.publish.component import publish
from components.publish.parameters import PublishParameters
from components.report.component import report
from components.sessionize.component import sessionize
from components.sessionize.step import SessionizeParameters
from components.suggest.component import suggest
from components.suggest.parameters import SuggestParameters
from components.train.component import train
from components.train.parameters import TrainParameters
from components.verify.component import verify
from components.verify.parameters import VerifyParameters
from components.vocabulary.component import vocabulary
from pipeline.parameters import make_pipeline
from pipeline.retraining import make_retraining_pipeline
from pipeline.tasks import Tasks
from pipeline.training import make_training_pipeline

SHARED = (vocabulary, train, evaluate, export, report)
PIPELINES = [
    ((ingest, *SHARED), {"serving_uri", "warm_start"}, make_training_pipeline),
    (
        (sessionize, *SHARED, gate, verify, publish, notify),
        {"publication_key", "champion_version", "pipeline_name", "min_index_recall"},
        make_retraining_pipeline,
    ),
]


def parameters_of(component):
    return {name: spec for name, spec in component.component_spec.inputs.items() if "@" not in spec.type}


def defaults(component):
    return {name: spec.default for name, spec in parameters_of(component).items() if spec.optional}


@pytest.mark.parametrize(("components", "fixed", "make"), PIPELINES, ids=["training", "retraining"])
def test_a_pipeline_has_the_parameters_of_its_components_and_no_other(components, fixed, make):
    found = parameters_of(make())
    expected = {}
    for component in components:
        expected |= parameters_of(component)
    assert found.keys() == expected.keys() - fixed - {"run_id", "task_name", "include_test", "point", "trial", "status"}
    for name, spec in found.items():
        assert (spec.type, spec.default, spec.optional) == (
            expected[name].type,
            expected[name].default,
            expected[name].optional,
        ), name
        assert spec.description, name


@pytest.mark.parametrize(
    ("kind", "component"),
    [
        (TrainParameters, train),
        (IngestParameters, ingest),
        (SessionizeParameters, sessionize),
        (EvaluateParameters, evaluate),
        (PublishParameters, publish),
        (LogForm, ingest),
        (LogForm, sessionize),
        (Acceptance, ingest),
        (Acceptance, sessionize),
        (GateParameters, gate),
        (Acceptance, gate),
        (VerifyParameters, verify),
        (SuggestParameters, suggest),
    ],
    ids=lambda value: value.__name__ if inspect.isclass(value) else value.name,
)
def test_a_default_is_the_same_in_the_signature_and_in_the_step(kind, component):
    found = defaults(component)
    for field in fields(kind):
        if field.name not in ("acceptance", "form"):
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            assert found.get(field.name, MISSING) == default, field.name


def test_the_default_bounds_of_drift_are_those_of_the_step():
    assert DriftBounds.parse(defaults(ingest)["drift_bounds"]) == DriftBounds()


def test_a_steps_parameters_are_made_of_the_arguments_of_its_component():
    arguments = {**defaults(ingest), "data_errors": ["seconds"], "max_id_bytes": 7, "something_else": 1}
    assert make_parameters(IngestParameters, arguments) == IngestParameters(
        form=LogForm(max_id_bytes=7), acceptance=Acceptance(data_errors=("seconds",))
    )


@dsl.component(base_image="registry.example/a:1", install_kfp_package=False)
def count_seven(made: dsl.Output[dsl.Artifact], count: int = 7) -> None:
    """Counts.

    Args:
        made: What is made.
        count: How many.
    """


@dsl.component(base_image="registry.example/a:1", install_kfp_package=False)
def count_eight(made: dsl.Output[dsl.Artifact], count: int = 8) -> None:
    """Counts."""


@dsl.component(base_image="registry.example/a:1", install_kfp_package=False)
def count_in_words(made: dsl.Output[dsl.Artifact], count: int = 7) -> None:
    """Counts.

    Args:
        made: What is made.
        count: As many as there are.
    """


@dsl.component(base_image="registry.example/a:1", install_kfp_package=False)
def count_silently(made: dsl.Output[dsl.Artifact], count: int = 7) -> None:
    """Counts."""


def graph_of(*components):
    def graph(parameters) -> dsl.Artifact:
        """Counts."""
        tasks = [component(**parameters) for component in components]
        return tasks[0].outputs["made"]

    return graph


def make(*components, graph=None):
    return make_pipeline(graph or graph_of(*components), components, name="counting", display_name="Counting")


def test_whole_numbers_that_kfp_made_floats_are_whole_numbers_again():
    made = make_parameters(EvaluateParameters, {**defaults(evaluate), "evaluate_ks": [1.0, 20.0]})
    assert repr(made.evaluate_ks) == "(1, 20)"


def test_the_yaml_is_that_of_a_pipeline_written_by_hand():
    @dsl.pipeline(name="counting", display_name="Counting")
    def counting(count: int = 7) -> dsl.Artifact:
        """Counts.

        Args:
            count: How many.
        """
        return count_seven(count=count).outputs["made"]

    assert make(count_seven).pipeline_spec == counting.pipeline_spec


def test_a_shared_description_stands_in_one_component():
    assert make(count_silently, count_seven).component_spec.inputs["count"].description == "How many."


@pytest.mark.parametrize(
    ("components", "message"),
    [
        (
            (count_seven, count_eight),
            "The parameter count of count-eight differs between components: .*8 here, .*7 in an earlier one",
        ),
        ((count_seven, count_in_words), "The description of count of count-in-words differs"),
        ((count_silently,), "Expected a description of each parameter. Received none for: count"),
    ],
)
def test_what_components_disagree_on_does_not_compile(components, message):
    with pytest.raises(ValueError, match=message):
        make(*components)


def test_a_parameter_that_no_task_takes_does_not_compile():
    def graph(parameters) -> dsl.Artifact:
        """Counts."""
        return count_seven(count=3).outputs["made"]

    with pytest.raises(
        ValueError, match=r"Expected each parameter to be used by a task\. Received unused parameters: count"
    ):
        make(count_seven, graph=graph)


def test_what_the_graph_sets_itself_is_no_parameter():
    tasks = Tasks(image="registry.example/two-tower:1", platform="kfp", checkpoint_claim="checkpoints")
    for make_with in (make_training_pipeline, make_retraining_pipeline):
        assert "checkpoint_root" in make_with().component_spec.inputs
        assert "checkpoint_root" not in make_with(tasks).component_spec.inputs
