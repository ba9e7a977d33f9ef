"""The gate on files, and as a component in KFP's local runner."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from factories import make_events
from gate_documents import PREVIOUS, make_documents, make_parameters, write_documents
from in_process import tasks_in_process
from kfp import dsl

from components.core.events import describe_split, read_split
from components.core.refusal import RefusedError
from components.gate import step
from components.gate.component import gate as gate_component
from components.gate.step import gate
from components.ingest.step import IngestParameters, ingest
from pipeline.display import Detail, Display
from pipeline.kfp_runner import RunError, run_tasks
from pipeline.local import run_component


def outputs(folder: Path) -> tuple[Path, Path]:
    return folder / "out" / "verdict.json", folder / "out" / "report.md"


def make_worse() -> dict[str, Any]:
    documents = make_documents()
    documents["metrics"]["champion"]["champion"]["mrr@20"] = 0.320
    documents["metrics"]["champion"]["ahead"]["mrr@20"] = [-0.010, -0.004]
    return documents


def test_files_of_a_good_run(tmp_path):
    verdict_path, report_path = outputs(tmp_path)
    verdict = gate(*write_documents(make_documents(), tmp_path), verdict_path, report_path, make_parameters())
    assert verdict.passed
    assert verdict_path.read_text() == verdict.to_json()
    assert report_path.read_text() == verdict.to_markdown()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_file_refuses(tmp_path, missing):
    paths = [*write_documents(make_documents(), tmp_path)]
    paths[missing] = tmp_path / "nowhere"
    verdict = gate(*paths, *outputs(tmp_path), make_parameters())
    assert not verdict.passed
    assert "could not be read. FileNotFoundError" in verdict.reason


def test_a_crash_refuses_and_an_override_still_passes(tmp_path, monkeypatch):
    paths = write_documents(make_documents(), tmp_path)
    monkeypatch.setattr(step, "RULES", None)
    assert not gate(*paths, *outputs(tmp_path), make_parameters()).passed
    document = json.loads(outputs(tmp_path)[0].read_text())
    assert (document["passed"], document["decided_by"]) == (False, "gate")
    assert "AttributeError" in document["reason"]
    assert outputs(tmp_path)[1].read_text().startswith("# Gate: refused")
    assert gate(*paths, *outputs(tmp_path), make_parameters(gate_override="Ada: a known bug")).passed


def test_a_killed_gate_leaves_a_refusal(tmp_path, monkeypatch):
    def kill(documents, parameters):
        raise SystemExit(1)

    paths = write_documents(make_documents(), tmp_path)
    gate(*paths, *outputs(tmp_path), make_parameters())
    monkeypatch.setattr(step, "RULES", {"kill": kill})
    with pytest.raises(SystemExit):
        gate(*paths, *outputs(tmp_path), make_parameters(gate_override="Ada: whatever happens"))
    document = json.loads(outputs(tmp_path)[0].read_text())
    assert (document["passed"], document["override"]) == (False, "")


def test_fail_when_refused_fails_after_the_files_are_written(tmp_path):
    paths = write_documents(make_worse(), tmp_path)
    with pytest.raises(RefusedError, match=r"Refused by the rule champion_metrics, champion, mrr@20: 0\.3130 against"):
        gate(*paths, *outputs(tmp_path), make_parameters(fail_when_refused=True))
    assert json.loads(outputs(tmp_path)[0].read_text())["passed"] is False
    assert outputs(tmp_path)[1].read_text().startswith("# Gate: refused")
    gate(*paths, *outputs(tmp_path), make_parameters(fail_when_refused=True, gate_override="Ada: agreed"))


def test_the_description_of_a_split_is_that_of_the_data_report(small_artifacts):
    report = json.loads((small_artifacts[0] / "report.json").read_text())
    found = describe_split(read_split(small_artifacts[0], "test"))
    assert found == {key: report["splits"]["test"][key] for key in found}
    assert report["schema_version"] == 1
    sessions = {"a": ["x", "y"], "b": ["x", "z", "y"]}
    expected = {"num_events": 5, "num_sessions": 2, "first_time": 500, "last_time": 1_502}
    assert describe_split(make_events(sessions, begin=500)) == expected


def test_lost_events_are_those_of_valid_whose_item_is_not_in_test(tmp_path):
    # 2 of the 5 events of valid are of b, 1 is of c: neither is in test. Train plays no part.
    items = {"train": "bcx", "valid": "aabbc", "test": "ax"}
    for day, (split, names) in enumerate(items.items(), 1):
        lines = [
            f"{split}\t{item}\t{1_442_000_000_000 + day * 86_400_000 + place}\n" for place, item in enumerate(names)
        ]
        (tmp_path / f"{split}.tsv").write_text("SessionId\tItemId\tTime\n" + "".join(lines))
    report = ingest({split: tmp_path / f"{split}.tsv" for split in items}, tmp_path / "events", IngestParameters())
    assert report.lost_event_share == 3 / 5
    assert "| events of valid whose item does not occur in test | 60.00% |" in report.to_markdown()


def inputs_of(documents: dict[str, Any], folder: Path) -> dict[str, Path]:
    return dict(zip(("metrics", "index_check", "events"), write_documents(documents, folder), strict=True))


def test_the_component_writes_what_the_step_decides(tmp_path):
    artifacts = inputs_of(make_worse(), tmp_path / "in")
    with tasks_in_process():
        made = run_component(
            gate_component, tmp_path / "out", artifacts=artifacts, arguments={"previous_events": PREVIOUS}
        )
    document = json.loads(made["verdict"].read_text())
    assert (document["passed"], document["decided_by"]) == (False, "champion_metrics")
    assert document["parameters"]["acceptance"]["previous_events"] == PREVIOUS
    assert "**Decided by:** champion_metrics" in made["gate_report"].read_text()


@dsl.component(base_image="registry.example/a:1", install_kfp_package=False)
def publish_something(verdict: dsl.Input[dsl.Artifact], published: dsl.Output[dsl.Artifact]) -> None:
    from pathlib import Path

    Path(published.path).write_text(Path(verdict.path).read_text())


@dsl.component(base_image="registry.example/a:1", install_kfp_package=False)
def tell() -> None:
    print("over")


def run_gated(artifacts: dict[str, Path], root: Path, **arguments: Any) -> Path | None:
    """Runs the gate and, if it has passed, a task that publishes; gives what that wrote. Like a schedule's graph."""

    @dsl.pipeline(name="gated")
    def gated() -> None:
        with dsl.ExitHandler(tell()):
            imported = {
                name: dsl.importer(
                    artifact_uri=str(path),
                    artifact_class=dsl.Dataset if name == "events" else dsl.Metrics,
                    reimport=True,
                ).output
                for name, path in artifacts.items()
            }
            decided = gate_component(**imported, **arguments)
            decided.set_caching_options(False)
            with dsl.If(decided.outputs["Output"] == True):  # noqa: E712
                publish_something(verdict=decided.outputs["verdict"])

    with tasks_in_process(), io.StringIO() as log:
        run_tasks(gated, {}, root, display=Display(detail=Detail.QUIET), log=log)
    return next(root.glob("*/publish-something/published"), None)


def test_what_follows_runs_only_if_the_gate_has_passed(tmp_path):
    good, bad = (inputs_of(make(), tmp_path / make.__name__) for make in (make_documents, make_worse))
    published = run_gated(good, tmp_path / "a", previous_events=PREVIOUS)
    assert json.loads(published.read_text())["decided_by"] == "all rules"
    assert run_gated(bad, tmp_path / "b", previous_events=PREVIOUS) is None
    assert next((tmp_path / "b").glob("*/gate/verdict")).exists()
    overridden = run_gated(bad, tmp_path / "c", previous_events=PREVIOUS, gate_override="Ada's reason")
    assert json.loads(overridden.read_text())["decided_by"] == "gate_override"


def test_a_refusal_can_fail_the_task(tmp_path):
    bad = inputs_of(make_worse(), tmp_path / "in")
    with pytest.raises(RunError, match=r"RefusedError: The gate refused the model\. Refused by the rule champion_metr"):
        run_gated(bad, tmp_path / "out", previous_events=PREVIOUS, fail_when_refused=True)
    assert json.loads(next((tmp_path / "out").glob("*/gate/verdict")).read_text())["passed"] is False
    assert not list((tmp_path / "out").glob("*/publish-something"))
