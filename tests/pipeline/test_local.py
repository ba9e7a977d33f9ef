import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kfp import components, local

from components.evaluate.component import evaluate
from components.export.component import export
from components.ingest.component import ingest
from components.train.component import train
from components.vocabulary.component import vocabulary
from pipeline.local import OUTPUT_NAMES, RunError, run_component, run_pipeline
from pipeline.training import make_training_pipeline

SMALL = {
    "embedding_dim": 16,
    "batch_size": 256,
    "num_negatives": 64,
    "learning_rate": 0.02,
    "max_epochs": 2,
    "refit": False,
}
GOLDEN = Path(__file__).parent / "golden" / "training.vertex.yaml"


def paths_of(log):
    return {f"{split}_path": str(path) for split, path in log.items()}


@pytest.fixture(scope="module")
def run(small_log, tmp_path_factory):
    """A run of the compiled YAML itself: what ships is what is tested."""
    output_dir = tmp_path_factory.mktemp("run")
    pipeline = components.load_component_from_file(str(GOLDEN))
    run_pipeline(pipeline, {**paths_of(small_log), **SMALL}, output_dir)
    return output_dir


def test_artifacts_lie_at_stable_names_and_nothing_else_is_left(run):
    assert sorted(path.name for path in run.iterdir()) == sorted(OUTPUT_NAMES.values())


def test_metrics_hold_what_others_rely_on(run):
    document = json.loads((run / "metrics.json").read_text())
    assert document["model"]["recall@20"] > 2 * document["baselines"]["popularity"]["recall@20"]
    assert set(document["model"]) == {f"{m}@{k}" for m in ("recall", "mrr", "ndcg") for k in (1, 5, 10, 20, 50, 100)}
    assert document["num_targets"] > document["num_unknown_targets"] > 0
    assert {"seconds", "epochs", "targets_per_second", "peak_memory_bytes"} <= set(document["training"])


def test_the_index_loads_with_tensorflow_alone(run):
    code = (
        "import sys, tensorflow as tf\n"
        f"index = tf.saved_model.load({str(run / 'index')!r}).signatures['serving_default']\n"
        "found = index(item_ids=tf.constant([['i1']]), k=tf.constant(3), exclude_ids=tf.constant([['']]))\n"
        "assert found['item_ids'].shape == (1, 3) and 'components' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True)


def test_every_component_runs_alone_on_artifacts_on_disk(run, small_log, tmp_path):
    made = run_component(ingest, tmp_path, arguments=paths_of(small_log))
    made |= run_component(vocabulary, tmp_path, artifacts={"events": made["events"]})
    assert made["vocabulary"].read_bytes() == (run / "vocabulary.parquet").read_bytes()
    inputs = {name: made[name] for name in ("events", "vocabulary")}
    made |= run_component(
        train, tmp_path, artifacts=inputs, arguments={**SMALL, "query_tower": "mean", "max_epochs": 1}
    )
    inputs["model"] = made["model"]
    made |= run_component(evaluate, tmp_path, artifacts=inputs, arguments={"evaluate_ks": [5]})
    assert set(json.loads(made["metrics"].read_text())["model"]) == {"recall@5", "mrr@5", "ndcg@5"}
    made |= run_component(export, tmp_path, artifacts=inputs)
    assert {path.name for path in tmp_path.iterdir()} == {*OUTPUT_NAMES.values(), "data_report"}
    assert all(path.exists() for path in made.values())


def test_a_failed_task_says_why_and_leaves_an_earlier_run_alone(run, small_log, tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    pipeline = make_training_pipeline()
    with pytest.raises(RunError, match=r"ValueError: Expected each of the columns .*'Item'"):
        run_pipeline(pipeline, {**paths_of(small_log), "item_column": "Item"}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    assert local.config.LocalExecutionConfig.instance is None


def test_a_missing_artifact_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected the artifact 'events' on disk"):
        run_component(vocabulary, tmp_path, artifacts={"events": tmp_path / "nothing"})


ENDLESS = """
import sys
from pathlib import Path

from kfp import dsl

from pipeline.local import run_pipeline


@dsl.component(base_image="registry.example/two-tower:1", install_kfp_package=False)
def wait(made: dsl.Output[dsl.Artifact]):
    import time
    from pathlib import Path

    Path(made.path).write_text("begun")
    time.sleep(600)


@dsl.pipeline
def waiting() -> dsl.Artifact:
    return wait().outputs["made"]


run_pipeline(waiting, {}, Path(sys.argv[1]))
"""


def test_what_a_killed_run_left_goes_with_the_next_but_not_what_a_living_one_has(small_log, tmp_path):
    script, output_dir = tmp_path / "endless.py", tmp_path / "output"
    script.write_text(ENDLESS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    endless = subprocess.Popen(
        [sys.executable, script, output_dir], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 120
        while not list(output_dir.glob(".run-*/*/*/made")):
            assert endless.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (folder,) = output_dir.glob(".run-*")
        run_component(ingest, output_dir, arguments=paths_of(small_log))
        assert list(output_dir.glob(".run-*")) == [folder]
        assert list(folder.glob("*/*/made"))
    finally:
        os.killpg(endless.pid, signal.SIGKILL)
        endless.wait()
    assert folder.exists()
    run_component(ingest, output_dir, arguments=paths_of(small_log))
    assert {path.name for path in output_dir.iterdir()} == {"events", "data_report"}
