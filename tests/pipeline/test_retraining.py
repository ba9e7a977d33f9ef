import broken_lines
import pytest
from click.testing import CliRunner

from components.core.events import read_split
from components.sessionize.component import sessionize
from pipeline import __main__ as command_line
from pipeline import local
from pipeline.local import run_component
from pipeline.retraining import make_retraining_pipeline
from pipeline.training import make_training_pipeline


def test_training_and_retraining_differ_in_their_first_task_and_the_publication():
    training, retraining = (
        make().pipeline_spec.root.dag.tasks for make in (make_training_pipeline, make_retraining_pipeline)
    )
    assert retraining.keys() == {"exit-handler-1", "notify"}
    group = make_retraining_pipeline().pipeline_spec.components["comp-exit-handler-1"].dag.tasks
    assert training.keys() - {"ingest"} == group.keys() - {"sessionize", "gate", "condition-1", "condition-2"}


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
