"""A run that fails is started again: what has succeeded is not repeated, and what was made lies in its folder."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from in_process import tasks_in_process
from kfp import dsl

from pipeline.display import Detail, Display
from pipeline.local import GateRefusalError, RunError, run_pipeline
from pipeline.output_folder import OutputFolder
from pipeline.task_keys import make_keys


@dsl.component(base_image="registry.example/two-tower:1", install_kfp_package=False)
def make(text: str, count_path: str, made: dsl.Output[dsl.Artifact]):
    from pathlib import Path

    with Path(count_path).open("a") as file:
        file.write(text)
    Path(made.path).write_text(text)


@dsl.component(base_image="registry.example/two-tower:1", install_kfp_package=False)
def read(made: dsl.Input[dsl.Artifact], broken_path: str, metrics: dsl.Output[dsl.Artifact]):
    from pathlib import Path

    Path(metrics.path).write_text("partial")
    if Path(broken_path).exists():
        raise OSError(28, "No space left on device")
    Path(metrics.path).write_text(Path(made.path).read_text())


class Outputs(NamedTuple):
    made: dsl.Artifact
    metrics: dsl.Artifact


@dsl.pipeline
def chain(text: str, count_path: str, broken_path: str) -> Outputs:
    first = make(text=text, count_path=count_path)
    second = read(made=first.outputs["made"], broken_path=broken_path)
    return Outputs(made=first.outputs["made"], metrics=second.outputs["metrics"])


@pytest.fixture
def start(tmp_path):
    def start(text="a", version="v"):
        arguments = {"text": text, "count_path": str(tmp_path / "count"), "broken_path": str(tmp_path / "broken")}
        keys = make_keys(chain.pipeline_spec, arguments, version=version, file_hashes={})
        display = Display(detail=Detail.QUIET)
        with OutputFolder(tmp_path / "output") as folder, tasks_in_process():
            made = run_pipeline(chain, arguments, folder, keys=keys, display=display)
        return made, display

    return start


def count(tmp_path: Path) -> str:
    return (tmp_path / "count").read_text()


def test_only_what_has_failed_is_run_again(start, tmp_path):
    (tmp_path / "broken").touch()
    with pytest.raises(RunError) as failure:
        start()
    what, where, advice, log = str(failure.value).split("\n")
    assert what == "OSError: [Errno 28] No space left on device"
    assert where.startswith("This was step 2 of 2, read, after ")
    assert advice.startswith(f"Free space on the disk of {tmp_path / 'output'}, and start the same command again")
    (failed,) = (tmp_path / "output" / "runs").iterdir()
    assert log.startswith(f"The log is {failed}/run.log")
    assert (failed / "metrics.json").read_text() == "partial"
    (tmp_path / "broken").unlink()
    made, display = start()
    assert (count(tmp_path), display.reused) == ("a", ["make"])
    assert made["metrics"] == failed / "metrics.json"
    assert {path.name for path in failed.iterdir()} == {"made", "metrics.json", "run.json", "run.log"}
    assert not any(path.is_symlink() for path in failed.iterdir())
    log = (failed / "run.log").read_text()
    assert "No space left" in log
    assert log.count("Executing task") == 3


@pytest.mark.parametrize("change", [{"text": "b"}, {"version": "w"}])
def test_another_run_starts_anew_and_clears_the_failed_one(start, tmp_path, change):
    (tmp_path / "broken").touch()
    with pytest.raises(RunError):
        start()
    (failed,) = (tmp_path / "output" / "runs").iterdir()
    (tmp_path / "broken").unlink()
    made, display = start(**change)
    assert (count(tmp_path), display.reused) == ("a" + change.get("text", "a"), [])
    assert made["metrics"].read_text() == change.get("text", "a")
    assert not failed.exists()


def test_a_run_that_succeeded_is_repeated(start, tmp_path):
    first, _ = start()
    second, display = start()
    assert (count(tmp_path), display.reused) == ("aa", [])
    assert first["metrics"] != second["metrics"]


def test_an_attempt_that_was_killed_while_it_moved_its_artifacts_is_done_again(start, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(OutputFolder, "publish", fail)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # the attempt ended before its tasks were removed
        with pytest.raises(RunError):
            start()
    made, _ = start()
    assert count(tmp_path) == "aa"
    assert made["metrics"].read_text() == "a"


def fail(*_):
    raise OSError("killed")


def test_what_succeeded_and_was_lost_is_made_again(start, tmp_path):
    (tmp_path / "broken").touch()
    with pytest.raises(RunError):
        start()
    (lost,) = (tmp_path / "output" / "runs").glob("*/tasks/*/make/made")
    os.remove(lost)  # noqa: PTH107
    (tmp_path / "broken").unlink()
    _, display = start()
    assert (count(tmp_path), display.reused) == ("aa", [])


@dsl.component(base_image="registry.example/two-tower:1", install_kfp_package=False)
def fit(made: dsl.Input[dsl.Artifact], text: str, model: dsl.Output[dsl.Artifact]):
    from pathlib import Path

    Path(model.path).write_text(text)


@dsl.pipeline
def conditional(text: str, count_path: str, broken_path: str):
    """Like a pipeline with an exit handler, it has no outputs."""
    first = make(text="log", count_path=count_path)
    second = fit(made=first.outputs["made"], text=text)
    read(made=second.outputs["model"], broken_path=broken_path)


def test_after_other_settings_the_model_is_that_of_the_settings_that_succeeded(tmp_path):
    def start(text):
        arguments = {"text": text, "count_path": str(tmp_path / "count"), "broken_path": str(tmp_path / "broken")}
        keys = make_keys(conditional.pipeline_spec, arguments, version="v", file_hashes={})
        with OutputFolder(tmp_path / "output") as folder, tasks_in_process():
            return run_pipeline(conditional, arguments, folder, keys=keys)

    (tmp_path / "broken").touch()
    for text in ("a", "b"):
        with pytest.raises(RunError):
            start(text)
        (run_dir,) = (tmp_path / "output" / "runs").iterdir()
        assert (run_dir / "model").read_text() == text  # of the run that has failed
    (tmp_path / "broken").unlink()
    made = start("a")
    assert made["model"].read_text() == made["metrics"].read_text() == "a"
    assert count(tmp_path) == "log"  # made once, by the first attempt


@dsl.component(base_image="registry.example/two-tower:1", install_kfp_package=False)
def gate(made: dsl.Input[dsl.Artifact], reason: str, records_uri: str, run_id: str, verdict: dsl.Output[dsl.Artifact]):
    from components.core.records import recorded
    from components.core.refusal import RefusedError

    with recorded({"records_uri": records_uri, "run_id": run_id, "task_name": "gate"}):
        raise RefusedError("The gate refused the model.") if reason == "refused" else ValueError(reason)


@dsl.pipeline
def gated(count_path: str, reason: str, records_uri: str = ""):
    first = make(text="a", count_path=count_path)
    gate(
        made=first.outputs["made"], reason=reason, records_uri=records_uri, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER
    ).set_caching_options(False)


def test_only_the_attempt_that_the_gate_has_refused_counts_as_refused(tmp_path):
    def start(reason):
        arguments = {"count_path": str(tmp_path / "count"), "reason": reason}
        keys = make_keys(gated.pipeline_spec, arguments, version="v", file_hashes={})
        with OutputFolder(tmp_path / "output") as folder, tasks_in_process(), pytest.raises(RunError) as failure:
            run_pipeline(gated, arguments, folder, keys=keys)
        return failure

    refused, failed, again = start("refused"), start("RefusedError: no data"), start("refused")
    assert count(tmp_path) == "a"  # all are attempts of one run
    assert [each.type for each in (refused, failed, again)] == [GateRefusalError, RunError, GateRefusalError]
    what, where, log = str(refused.value).splitlines()
    assert what.endswith("RefusedError: The gate refused the model.")
    assert where.startswith("This was step 2 of 2, gate, after ")
    assert log.startswith("The log is ")
    assert "start the same command again" in str(failed.value)
