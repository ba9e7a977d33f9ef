"""The commands `run` and `recommend` on a small log, as a user starts them."""

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import tasks_in_process

from components.core.run_artifacts import find_index, hold_run
from components.export import index
from pipeline.__main__ import cli
from pipeline.output_folder import OUTPUT_NAMES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SMALL = ["embedding_dim=8", "num_negatives=32", "refit=False", "query_tower=mean"]
# Spaces, quotes, brackets, wildcards, non-ASCII characters, and the word that KFP replaces in commands.
ODD = "a b 'c' \"d\" lr=[0.002] *f é漢😀 python3"


def two_tower(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "240"},
        capture_output=True,
        text=True,
        check=False,
    )


def make_command(log, output, *settings):
    options = [option for split in log for option in (f"--{split}", str(log[split]))]
    options += [option for setting in [*SMALL, *settings] for option in ("--set", setting)]
    return ["run", *options, "--output", str(output)]


def run_small(log, output, *settings):
    return two_tower(*make_command(log, output, *settings))


@pytest.fixture(scope="module")
def output(small_log, tmp_path_factory):
    """An output folder with two runs; the older one trained for one epoch, the newer one for two."""
    output = tmp_path_factory.mktemp("run") / "output"
    with tasks_in_process():
        cli.main([*make_command(small_log, output, "max_epochs=1")], standalone_mode=False)
    done = run_small(small_log, output, "max_epochs=2")
    assert done.returncode == 0, done.stdout + done.stderr
    (output.parent / "stdout").write_text(done.stdout)
    return output


def test_a_run_prints_its_metrics_and_says_where_its_artifacts_lie(output):
    printed = (output.parent / "stdout").read_text()
    metrics = json.loads((output / "metrics.json").read_text())
    assert re.search(rf"│ model \(mean\) .*│ +{metrics['model']['recall@20']:.4f} │", printed)
    assert f"The artifacts are in {output}: " in printed
    assert printed.count("\n") < 30
    assert {path.name for path in output.iterdir()} == {
        *OUTPUT_NAMES.values(), "run.json", "run.log", "records", "config.yaml", "runs", "current", ".lock",
    }  # fmt: skip


def test_the_report_shows_the_metrics_of_the_run(output):
    metrics, page = json.loads((output / "metrics.json").read_text()), (output / "report.html").read_text()
    for metric in ("recall@20", "mrr@20"):
        assert f'<data data-path="/model/{metric}" value="{metrics["model"][metric]!r}">' in page
        for name, summary in metrics["baselines"].items():
            assert f'<data data-path="/baselines/{name}/{metric}" value="{summary[metric]!r}">' in page
    assert "This report is not complete" not in page


def test_recommend_reads_the_output_folder_and_names_what_it_does_not_know(output):
    by_session = two_tower("recommend", "--index", output, "--session", "i1, i2,no such", "-k", "3", "--exclude-seen")
    items = [option for item_id in ("i1", "i2", "no such") for option in ("--item", item_id)]
    by_item = two_tower("recommend", "--index", output / "index", *items, "-k", "3", "--exclude-seen")
    for done in (by_session, by_item):
        assert (done.returncode, done.stderr) == (0, "unknown to the index: 'no such'\n")
        assert re.fullmatch(r"(i\d+\t-?\d\.\d{6}\n){3}", done.stdout)
    assert by_session.stdout == by_item.stdout


def test_recommend_refuses_a_model(output):
    done = two_tower("recommend", "--index", output / "model", "--session", "i1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"two-tower: Expected an index. Received: {output}/model, which is a trained model")


def test_a_failed_run_says_where_its_files_lie_and_leaves_the_artifacts(output, small_log):
    before, shown = (output / "metrics.json").read_bytes(), (output / "current").readlink()
    done = run_small(small_log, output, "min_item_count=1000000")
    assert done.returncode == 3
    failed = next(path for path in (output / "runs").iterdir() if (path / "tasks").exists())
    *steps, what, where, advice, log = done.stderr.splitlines()
    assert [step[:9] for step in steps] == ["[1/6] ing", "[2/6] voc"]
    assert what.startswith("two-tower: ValueError: Expected at least one item with 1000000 events.")
    assert where.startswith("This was step 2 of 6, vocabulary, after ")
    assert where.endswith(f"{output} still shows the run {shown.name}.")
    assert advice.startswith("Correct what the first line names, and start the same command again")
    assert log == f"The log is {failed}/run.log, beside what the steps made."
    assert (failed / "events" / "train.parquet").is_file()
    assert (output / "metrics.json").read_bytes() == before


def test_paths_with_odd_characters(small_log, tmp_path):
    log = {split: tmp_path / ODD / "log" / path.name for split, path in small_log.items()}
    shutil.copytree(small_log["train"].parent, tmp_path / ODD / "log")
    output = tmp_path / ODD / "output"
    with tasks_in_process():
        cli.main([*make_command(log, output, "max_epochs=1")], standalone_mode=False)
    done = two_tower("recommend", "--index", output / "index", "--session", "i1", "-k", "3")
    assert done.stdout.count("\n") == 3


SHOW_ALTERNATELY = """
import itertools, shutil, sys
from pathlib import Path

from pipeline.output_folder import OutputFolder

output, *runs = map(Path, sys.argv[1:])
for run in itertools.cycle(runs):
    with OutputFolder(output) as folder:
        run_dir = folder.begin()
        for artifact in run.iterdir():
            (shutil.copytree if artifact.is_dir() else shutil.copy)(artifact, run_dir / artifact.name)
        folder.publish(run_dir, {})
"""
NUM_LOADS = 8


def test_no_answer_mixes_two_runs_that_are_shown_meanwhile(output, tmp_path):
    """Each answer and the metrics beside it are those of one run."""
    runs = [output / "runs" / json.loads((output / "run.json").read_text())[name] for name in ("previous", "id")]

    def ask(index_dir):
        answer = index.recommend(index_dir, ["i1", "i2"], k=5, exclude_seen=True)
        return answer.items, json.loads((index_dir.parent / "metrics.json").read_text())["model"]

    expected = [ask(run / "index") for run in runs]
    assert expected[0] != expected[1]
    shown = tmp_path / "output"
    writer = subprocess.Popen(
        [sys.executable, "-c", SHOW_ALTERNATELY, shown, *runs], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        while not (shown / "index").exists():
            assert writer.poll() is None
        seen = []
        for _ in range(NUM_LOADS):
            with hold_run(find_index(shown)) as index_dir:
                seen.append((index_dir.parent.name, expected.index(ask(index_dir))))
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
    switches = sum(first != second for first, second in itertools.pairwise(run for run, _ in seen))
    assert switches > NUM_LOADS // 4
    print(f"{len(seen)} loads by recommend, the run changed {switches} times in between, none torn")


def test_metrics_say_which_data_code_and_parameters_they_are_of(output, small_log):
    run = json.loads((output / "metrics.json").read_text())["run"]
    assert run["data"].keys() == {"train_path", "valid_path", "test_path"}
    train = small_log["train"]
    digest = hashlib.sha256(f"train.tsv\0{train.stat().st_size}\0".encode() + train.read_bytes()).hexdigest()
    assert run["data"]["train_path"] == {
        "path": str(train), "files": 1, "bytes": train.stat().st_size, "sha256": digest,
    }  # fmt: skip
    assert run["rows"] == sum(len(path.read_text().splitlines()) - 1 for path in small_log.values())
    assert run["parameters"]["max_epochs"] == 2
    assert run["parameters"]["batch_size"] == 1024
    assert run["preset"] == "default"
    assert run["versions"]["kfp"] == "2.17.0"
    assert run["seconds"].keys() == {"ingest", "vocabulary", "train", "evaluate", "export", "report"}


def test_the_configuration_of_a_run_starts_it_again_and_json_is_one_object(output, tmp_path, capsys):
    first = json.loads((output / "metrics.json").read_text())
    capsys.readouterr()
    command = ["run", "--config", str(output / "config.yaml"), "--output", str(tmp_path / "again"), "--json", "-q"]
    with tasks_in_process():
        cli.main(command, standalone_mode=False)
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["metrics"]["model"] == first["model"]
    assert result["metrics"]["run"]["parameters"] == first["run"]["parameters"]
    assert result["data"]["num_lines"] == first["run"]["rows"]
    assert printed.err == ""
    done = two_tower("compare", output, tmp_path / "again")
    assert done.returncode == 0
    assert "+0.0000 [+0.0000, +0.0000] no clear difference" in done.stdout
