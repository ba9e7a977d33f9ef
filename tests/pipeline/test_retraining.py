from dataclasses import asdict, fields

import broken_lines
import pytest
from click.testing import CliRunner

from components.core.events import read_split
from components.core.logs.draft import Acceptance
from components.evaluate.component import evaluate
from components.export.component import export
from components.ingest.component import ingest
from components.sessionize.component import sessionize
from components.sessionize.step import SessionizeParameters
from components.train.component import train
from components.vocabulary.component import vocabulary
from pipeline import __main__ as command_line
from pipeline import local
from pipeline.local import run_component
from pipeline.retraining import make_retraining_pipeline
from pipeline.training import make_training_pipeline


def defaults(component):
    return {name: spec.default for name, spec in component.component_spec.inputs.items() if spec.optional}


def test_a_default_has_one_value_wherever_it_stands():
    pipeline, training = defaults(make_retraining_pipeline()), defaults(make_training_pipeline())
    mine = {"item_column", "time_column"}
    for other in (training, defaults(sessionize)):
        for name in (pipeline.keys() & other.keys()) - (mine if other is training else set()):
            assert pipeline[name] == other[name], name
    for field in fields(SessionizeParameters):
        default = field.default if not isinstance(field.default, tuple) else list(field.default)
        if field.name != "acceptance":
            assert defaults(sessionize)[field.name] == default, field.name


@pytest.mark.parametrize("component", [ingest, sessionize])
def test_what_is_accepted_is_the_same_for_both(component):
    acceptance = asdict(Acceptance())
    drift = acceptance.pop("drift")
    found = defaults(component)
    for name, default in acceptance.items():
        assert found[name] == (list(default) if isinstance(default, tuple) else default)
    for name, bounds in drift.items():
        assert (found[f"{name}_drift_warns"], found[f"{name}_drift_fails"]) == (bounds["warn"], bounds["fail"])


@pytest.mark.parametrize(
    ("first", "make"), [(ingest, make_training_pipeline), (sessionize, make_retraining_pipeline)], ids=["split", "raw"]
)
def test_every_parameter_of_a_component_is_one_of_the_pipeline(first, make):
    pipeline = make().component_spec.inputs
    for component in (first, vocabulary, train, evaluate, export):
        parameters = {name for name, spec in component.component_spec.inputs.items() if "." not in spec.type}
        assert parameters <= pipeline.keys(), component.name


def test_a_default_and_its_description_are_the_components_own():
    for first, make in ((ingest, make_training_pipeline), (sessionize, make_retraining_pipeline)):
        pipeline, component = (one.component_spec.inputs for one in (make(), first))
        for name in component:
            assert pipeline[name] == component[name], name


def test_training_and_retraining_differ_in_their_first_task_only():
    training, retraining = (
        make().pipeline_spec.root.dag.tasks for make in (make_training_pipeline, make_retraining_pipeline)
    )
    assert training.keys() - {"ingest"} == retraining.keys() - {"sessionize"}


def test_the_component_reads_a_raw_log(tmp_path):
    day = 24 * 60 * 60 * 1000
    lines = [f"{visit * day + 10**12 + event},v{visit},view,i{event}" for visit in range(40) for event in range(4)]
    (tmp_path / "log.csv").write_text("\n".join(["timestamp,visitorid,event,itemid", *lines]) + "\n")
    made = run_component(sessionize, tmp_path, arguments={"log_path": str(tmp_path / "log.csv")})
    assert read_split(made["events"], "test").num_rows == 4 * 7
    assert made["data_report"].read_text().startswith("# Data report")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--events", "x.csv", "--train", "{log}"], "Expected --events or --train, --valid and --test. Received: both"),
        (["--as-of", "2015-09-18"], "Expected --as-of together with --events"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, options, message):
    log = tmp_path / "train.tsv"
    log.write_bytes(broken_lines.HEADER)
    result = CliRunner().invoke(command_line.cli, ["run", *(option.format(log=log) for option in options)])
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_events_run_the_retraining(monkeypatch, tmp_path):
    seen = {}

    def run_training(pipeline, arguments, output_dir, **_):
        seen.update(arguments, pipeline=pipeline.name)
        raise local.RunError("stopped by the test")

    monkeypatch.setattr(local, "run_training", run_training)
    options = ["--events", "s3://logs/days", "--as-of", "2015-09-18", "--set", "event_types=view,addtocart"]
    CliRunner().invoke(command_line.cli, ["run", "--output", str(tmp_path), *options])
    assert (seen["pipeline"], seen["log_path"], seen["as_of"]) == (
        "two-tower-retraining",
        "s3://logs/days",
        "2015-09-18",
    )
    assert seen["event_types"] == ["view", "addtocart"]
