import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import pytest
from in_process import tasks_in_process
from kfp import components, dsl, local

from components.evaluate.component import evaluate
from components.export.component import export
from components.ingest.component import ingest
from components.report.component import report
from components.train.component import train
from components.vocabulary.component import vocabulary
from pipeline.compilation import compile_pipeline
from pipeline.local import RunError, read_run_records, run_component, run_pipeline, run_training
from pipeline.output_folder import OUTPUT_NAMES, OutputFolder, OutputFolderError
from pipeline.tasks import Tasks
from pipeline.training import make_training_pipeline

SMALL = {
    "embedding_dim": 16,
    "batch_size": 256,
    "num_negatives": 64,
    "learning_rate": 0.02,
    "max_epochs": 2,
    "refit": False,
}


def paths_of(log):
    return {f"{split}_path": str(path) for split, path in log.items()}


@pytest.fixture(scope="module")
def run(small_log, tmp_path_factory):
    """A run of the compiled YAML itself: what ships is what is tested."""
    output_dir = tmp_path_factory.mktemp("run")
    path = tmp_path_factory.mktemp("compiled") / "training.yaml"
    path.write_text(compile_pipeline("training", Tasks(platform="vertex")).text)
    pipeline = components.load_component_from_file(str(path))
    with OutputFolder(output_dir) as folder, tasks_in_process():
        run_pipeline(pipeline, {**paths_of(small_log), **SMALL}, folder)
    return output_dir


@pytest.mark.slow
def test_artifacts_lie_at_stable_names_and_nothing_else_is_left(run):
    names = {*OUTPUT_NAMES.values(), "run.json", "run.log", "records"}
    assert {path.name for path in run.iterdir()} == {*names, ".lock", "current", "runs"}
    (run_dir,) = (run / "runs").iterdir()
    assert {path.name for path in run_dir.iterdir()} == names
    assert all((run / name).resolve() == run_dir / name for name in names)
    record = json.loads((run / "run.json").read_text())
    assert (record["id"], record["pipeline"]) == (run_dir.name, "two-tower-training")
    assert record["arguments"]["max_epochs"] == 2


@pytest.mark.slow
def test_every_task_of_the_compiled_pipeline_leaves_its_record(run):
    records = read_run_records(run / "current")
    assert {*records} == {"ingest", "vocabulary", "train", "evaluate", "export", "report"}
    assert [*records][:3] == ["ingest", "vocabulary", "train"]
    assert {record.status for record in records.values()} == {"succeeded"}
    report = json.loads((run / "events" / "report.json").read_text())
    assert records["ingest"].findings == report["findings"]
    assert records["ingest"].result["num_lines"] == report["num_lines"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert records["evaluate"].result["model"] == metrics["model"]
    assert records["train"].result == {**metrics["training"], "checkpoint_dir": ""}


@pytest.mark.slow
def test_metrics_hold_what_others_rely_on(run):
    document = json.loads((run / "metrics.json").read_text())
    assert document["model"]["recall@20"] > 2 * document["baselines"]["popularity"]["recall@20"]
    assert set(document["model"]) == {f"{m}@{k}" for m in ("recall", "mrr", "ndcg") for k in (1, 5, 10, 20, 50, 100)}
    assert document["num_targets"] > document["num_unknown_targets"] > 0
    assert {"seconds", "epochs", "targets_per_second", "peak_memory_bytes"} <= set(document["training"])


@pytest.mark.slow
def test_the_index_loads_with_tensorflow_alone(run):
    code = (
        "import sys, tensorflow as tf\n"
        f"index = tf.saved_model.load({str(run / 'index')!r}).signatures['recommend']\n"
        "found = index(item_ids=tf.constant([['i1']]), k=tf.constant([3]), exclude_ids=tf.constant([['']]))\n"
        "assert found['item_ids'].shape == (1, 3) and 'components' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True)


@pytest.mark.slow
def test_every_component_runs_alone_on_artifacts_on_disk(run, small_log, tmp_path):
    with tasks_in_process():
        made = run_component(ingest, tmp_path, arguments=paths_of(small_log))
        made |= run_component(vocabulary, tmp_path, artifacts={"events": made["events"]}, arguments={"refit": False})
        assert made["vocabulary"].read_bytes() == (run / "vocabulary.parquet").read_bytes()
        inputs = {name: made[name] for name in ("events", "vocabulary")}
        made |= run_component(
            train, tmp_path, artifacts=inputs, arguments={**SMALL, "query_tower": "mean", "max_epochs": 1}
        )
        inputs["model"] = made["model"]
        made |= run_component(evaluate, tmp_path, artifacts=inputs, arguments={"evaluate_ks": [5]})
        assert set(json.loads(made["metrics"].read_text())["model"]) == {"recall@5", "mrr@5", "ndcg@5"}
        made |= run_component(export, tmp_path, artifacts=inputs)
        shown = ("events", "vocabulary", "metrics", "examples", "embeddings", "index_check")
        made |= run_component(report, tmp_path, artifacts={name: made[name] for name in shown})
    assert {path.name for path in tmp_path.iterdir()} == {*OUTPUT_NAMES.values(), "data_report", ".lock"}
    assert all(path.exists() for path in made.values())


@pytest.mark.slow
def test_a_failed_task_says_why_where_its_files_lie_and_what_the_folder_shows(small_log, tmp_path):
    output_dir = tmp_path / "output"
    with OutputFolder(output_dir) as folder:
        shown = folder.begin()
        (shown / "metrics.json").write_text("{}")
        folder.publish(shown, {})
    # The second task fails, of which the first one's artifact is left.
    arguments = {**paths_of(small_log), **SMALL, "min_item_count": 0}
    with OutputFolder(output_dir) as folder, pytest.raises(RunError) as failure:
        run_pipeline(make_training_pipeline(), arguments, folder)
    (failed,) = set((output_dir / "runs").iterdir()) - {shown}
    what, where, advice, log = str(failure.value).split("\n")
    assert what.startswith("ValueError: Expected min_item_count")
    assert re.fullmatch(rf"This was step 2 of 6, vocabulary, after \d+ s. .* still shows the run {shown.name}.", where)
    assert advice.startswith("Correct what the first line names, and start the same command again")
    assert log == f"The log is {failed}/run.log, beside what the steps made."
    assert "ValueError: Expected min_item_count" in (failed / "run.log").read_text()
    assert (failed / "events" / "rejected.parquet").is_file()
    records = read_run_records(failed)
    assert {name: record.status for name, record in records.items()} == {"ingest": "succeeded", "vocabulary": "failed"}
    assert f"{records['vocabulary'].error['type']}: {records['vocabulary'].error['message']}" == what
    assert (output_dir / "metrics.json").resolve() == shown / "metrics.json"
    assert local.config.LocalExecutionConfig.instance is None


def test_a_run_that_fails_in_its_first_task_says_that_no_run_is_shown(small_log, tmp_path):
    arguments = {**paths_of(small_log), "item_column": "Item"}
    with OutputFolder(tmp_path) as folder, pytest.raises(RunError) as failure:
        run_pipeline(make_training_pipeline(), arguments, folder)
    assert re.match(r"ValueError: Expected each of the columns .*'Item'", str(failure.value))
    assert f"{tmp_path} shows no run, because none has succeeded yet." in str(failure.value).split("\n")[1]
    assert not (tmp_path / "metrics.json").exists()


def test_a_training_removes_its_own_checkpoints_and_no_others(tmp_path):
    @dsl.component(base_image="registry.example/two-tower:1", install_kfp_package=False)
    def fit(checkpoint_root: str, metrics: dsl.Output[dsl.Metrics]):
        from pathlib import Path

        Path(checkpoint_root, "mine").mkdir(parents=True)
        Path(metrics.path).write_text('{"checkpoint_dir": "mine"}')

    class Outputs(NamedTuple):
        metrics: dsl.Metrics

    @dsl.pipeline
    def fitting(checkpoint_root: str = "") -> Outputs:
        return Outputs(fit(checkpoint_root=checkpoint_root).outputs["metrics"])

    with OutputFolder(tmp_path) as folder:
        run_training(fitting, {}, folder)
        assert not folder.checkpoint_root.exists()
        (folder.checkpoint_root / "of-a-killed-training").mkdir(parents=True)
        run_training(fitting, {}, folder)
        assert [path.name for path in folder.checkpoint_root.iterdir()] == ["of-a-killed-training"]
        with pytest.raises(ValueError, match="A local run sets checkpoint_root itself"):
            run_training(fitting, {"checkpoint_root": "/elsewhere"}, folder)


@pytest.mark.slow
def test_single_components_and_runs_do_not_share_a_folder(run, small_log):
    with pytest.raises(OutputFolderError, match=r"contains runs of a pipeline\. Choose another folder"):
        run_component(ingest, run, arguments=paths_of(small_log))


@pytest.mark.parametrize("value", ["{{$.inputs}}", os.fsdecode(b"\xff")])
def test_what_kfp_cannot_pass_on_is_refused_before_the_run(value, tmp_path):
    with OutputFolder(tmp_path) as folder, pytest.raises(ValueError, match="Expected train_path to be valid UTF-8"):
        run_pipeline(make_training_pipeline(), {"train_path": value}, folder)
    assert not (tmp_path / "runs").exists()


def test_a_missing_artifact_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected the artifact 'events' to exist"):
        run_component(vocabulary, tmp_path, artifacts={"events": tmp_path / "nothing"})


@dsl.component(base_image="registry.example/two-tower:1", install_kfp_package=False)
def echo(text: str, made: dsl.Output[dsl.Artifact]):
    from pathlib import Path

    Path(made.path).write_text(text)


@dsl.pipeline
def echoing(text: str) -> dsl.Artifact:
    return echo(text=text).outputs["made"]


ODD = "a b 'c' \"d\" [e] *f? $(g) \\h é漢😀 python3 {i} %s;&|"
ODD_FOLDER = ODD.replace("?", "").replace("\\", "")  # which the path of an output folder cannot contain


def test_paths_and_values_reach_a_task_as_they_are(tmp_path):
    with OutputFolder(tmp_path / ODD_FOLDER) as folder:
        made = run_pipeline(echoing, {"text": ODD}, folder)["Output"]
    assert made.is_relative_to(tmp_path / ODD_FOLDER / "runs")
    assert made.read_text() == (tmp_path / ODD_FOLDER / "Output").read_text() == ODD


def test_two_runs_never_have_the_same_id(tmp_path):
    @dsl.pipeline
    def telling(text: str = "") -> dsl.Artifact:
        return echo(text=dsl.PIPELINE_JOB_ID_PLACEHOLDER).outputs["made"]

    ids = []
    with OutputFolder(tmp_path) as folder:
        for _ in range(2):
            random.seed(0)  # as a training in this process does
            ids.append(run_pipeline(telling, {}, folder)["Output"].read_text())
    assert ids[0] != ids[1]
    assert all(len(uuid.UUID(each).hex) == 32 for each in ids)


@pytest.mark.slow
def test_a_single_component_takes_artifacts_of_odd_paths(small_log, tmp_path):
    folder = tmp_path / ODD_FOLDER
    made = run_component(ingest, folder, arguments=paths_of(small_log))
    made = run_component(vocabulary, folder, artifacts={"events": made["events"]})
    assert made["vocabulary"].is_file()


# A task that starts a process of its own, as Spark does, and waits.
ENDLESS = """
import sys
from pathlib import Path

from kfp import dsl

from pipeline.__main__ import cli, main
from pipeline.local import run_pipeline
from pipeline.output_folder import OutputFolder


@dsl.component(base_image="registry.example/two-tower:1", install_kfp_package=False)
def wait(made: dsl.Output[dsl.Artifact]):
    import os
    import subprocess
    from pathlib import Path

    child = subprocess.Popen(["sleep", "600"])
    draft = Path(made.path + ".draft")
    draft.write_text(f"{os.getpid()} {os.getppid()} {child.pid}")
    draft.rename(made.path)
    child.wait()


@dsl.pipeline
def waiting() -> dsl.Artifact:
    return wait().outputs["made"]


@cli.command()
def endless():
    with OutputFolder(Path(output_dir)) as folder:
        run_pipeline(waiting, {}, folder)


output_dir = sys.argv.pop()
sys.argv.append("endless")
main()
"""


@pytest.fixture
def endless(tmp_path):
    """A process that runs an endless task, and the processes of that task."""
    script, output_dir = tmp_path / "endless.py", tmp_path / "output"
    script.write_text(ENDLESS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, script, output_dir],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Shells start background jobs, such as this test's, with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        wait_until(lambda: list(output_dir.glob("runs/*/tasks/*/*/made")) or process.poll() is not None)
        (made,) = output_dir.glob("runs/*/tasks/*/*/made")
        yield process, [int(pid) for pid in made.read_text().split()]
    finally:
        process.kill()
        process.communicate()


def wait_until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lives(pid):
    """Whether a process runs; one that ended and that nobody has waited for does not."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("killed_by", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130), (signal.SIGINT, 130)]
)
def test_the_tasks_of_a_killed_run_die_with_it(endless, killed_by, code):
    process, pids = endless
    assert all(map(lives, pids))
    process.send_signal(killed_by)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    wait_until(lambda: not any(map(lives, pids)))
    if code == 130:
        assert "The run was interrupted in the step wait. Start it again to go on from the step wait." in errors
        assert errors.endswith("two-tower: interrupted\n")


@pytest.mark.slow
def test_a_living_run_keeps_its_folder_and_a_killed_one_leaves_it_to_the_next(endless, small_log, tmp_path):
    process, _ = endless
    output_dir = tmp_path / "output"
    with (
        pytest.raises(OutputFolderError, match=rf"Another run \(process {process.pid}\) writes to "),
        OutputFolder(output_dir),
    ):
        pass
    (left,) = (output_dir / "runs").iterdir()
    process.kill()
    process.wait()
    with OutputFolder(output_dir) as folder:
        run_pipeline(echoing, {"text": "x"}, folder)
    assert not left.exists()
    assert (output_dir / "Output").read_text() == "x"
