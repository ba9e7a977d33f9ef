"""Retraining with a serving location, as a user starts it: published, gated against the published version, refused."""

import json
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from in_process import tasks_in_process

from components.core.serving.location import list_versions
from components.export.index import recommend
from pipeline.__main__ import cli
from pipeline.exit_codes import ExitCode

# The log has sessions already. Times of queries depend on the machine. The model is small, and need not be as good as
# the best baselines.
SETTINGS = [
    "session_column=SessionId", "item_column=ItemId", "time_column=Time", "event_column=", "query_tower=mean",
    "embedding_dim=16", "num_negatives=64", "learning_rate=0.02", "max_epochs=1", "gate_min_targets=200",
    "gate_max_mean_loss=0.6", "gate_max_interval_loss=0.7", "gate_max_p99_ms=100000",
]  # fmt: skip


def run(log: Path, output: Path, serving: Path, *settings: str) -> ExitCode:
    options = [option for setting in [*SETTINGS, *settings] for option in ("--set", setting)]
    command = ["run", "--events", str(log), "--serving", str(serving), *options, "--output", str(output)]
    with tasks_in_process():
        return cli.main(command, standalone_mode=False)


def poison(log: Path, folder: Path) -> Path:
    """Copies a log, with random clicks over the catalogue in its last week."""
    shutil.copytree(log, folder)
    rng = np.random.default_rng(0)
    header, *lines = (folder / "test.tsv").read_text().splitlines()
    items = sorted({line.split("\t")[1] for line in (folder / "train.tsv").read_text().splitlines()[1:]})
    cells = [line.split("\t") for line in lines]
    random = [f"{session}\t{rng.choice(items)}\t{time}" for session, _, time in cells]
    (folder / "test.tsv").write_text("\n".join([header, *random]) + "\n")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_published_compared_and_refused(small_log, tmp_path, capsys):
    log, serving, output = small_log["train"].parent, tmp_path / "it's here" / "serving", tmp_path / "output"
    assert run(log, output, serving) == ExitCode.DONE, capsys.readouterr().out
    assert f"Version 1 is published in {serving}." in " ".join(capsys.readouterr().out.split())
    (first,) = list_versions(str(serving))
    assert json.loads((output / "manifest.json").read_text()) == first.document
    assert first.document["metrics"]["champion"]["status"] == "none"
    assert first.document["verdict"]["decided_by"] == "all rules"
    assert first.document["trained_until"] < first.document["metrics"]["test"]["first_time"]
    assert json.loads((output / "verdict.json").read_text()) == first.document["verdict"]
    assert (output / "gate_report.md").read_text().startswith("# Gate: passed")
    answer = recommend(serving / "1", ["i3", "i5"], k=5, exclude_seen=False)
    assert answer == recommend(output / "index", ["i3", "i5"], k=5, exclude_seen=False)

    # The same log again: compared with version 1 on all targets, and no worse.
    assert run(log, output, serving) == ExitCode.DONE, capsys.readouterr().out
    first, second = list_versions(str(serving))
    champion = second.document["metrics"]["champion"]
    assert (champion["status"], champion["version"], second.version) == ("compared", 1, 2)
    assert champion["num_targets"] == second.document["metrics"]["num_targets"]
    assert champion["champion"]["recall@20"] == first.document["metrics"]["model"]["recall@20"]
    assert "Version 2 is published" in " ".join(capsys.readouterr().out.split())

    before = {path: path.read_bytes() for path in serving.rglob("*") if path.is_file()}
    assert run(poison(log, tmp_path / "poisoned"), output, serving) == ExitCode.GATE
    printed = " ".join(capsys.readouterr().out.split())
    verdict = json.loads((output / "verdict.json").read_text())
    assert not verdict["passed"]
    assert f"The gate refused the model. Decided by: {verdict['decided_by']}." in printed
    assert f"Nothing was published in {serving}." in printed
    assert verdict["decided_by"] == "popularity"
    assert not (output / "manifest.json").exists()
    assert {path: path.read_bytes() for path in serving.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--serving", "models"], "Expected --serving together with --events. Received: --serving alone"),
        (["--events", "LOG", "--set", "gate_override=Ada: sold out"], "Expected gate_override together with --serving"),
        (["--events", "LOG", "--serving", "m", "--set", "serving_uri=m"], "Expected --serving or --set serving_uri="),
    ],
)
def test_options_that_do_not_go_together(options, message, tmp_path):
    (tmp_path / "log").touch()
    given = [str(tmp_path / "log") if option == "LOG" else option for option in options]
    with pytest.raises(click.UsageError, match=message):
        cli.main(["run", "--output", str(tmp_path / "output"), *given], standalone_mode=False)


def test_a_location_that_cannot_be_listed_is_refused_before_anything_runs(tmp_path):
    for name in ("log", "file"):
        (tmp_path / name).touch()
    command = ["run", "--events", str(tmp_path / "log"), "--output", str(tmp_path / "output"), "--serving"]
    with pytest.raises(OSError, match=str(tmp_path / "file")):
        cli.main([*command, str(tmp_path / "file")], standalone_mode=False)
    with pytest.raises(ValueError, match="Received: 'http://shop/models'"):
        cli.main([*command, "http://shop/models"], standalone_mode=False)
    assert not (tmp_path / "output").exists()
