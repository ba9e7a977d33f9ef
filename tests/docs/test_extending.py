"""The code of docs/extending.md, applied to a copy of the sources and run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```python\n# In (\S+), (before|after|instead of|new file): ?([^\n]*)\n(.*?)```", re.DOTALL)

# Expected values are worked by hand.
PROGRAM = """
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.core.sequences import Sessions
from components.evaluate.baselines import adjacent
from components.evaluate.step import EvaluateParameters, evaluate
from components.ingest.step import IngestParameters, ingest
from components.train.parameters import TrainParameters
from components.train.step import train_model
from components.train.towers import DecayTower
from components.vocabulary.step import make_vocabulary

assert Path(sys.modules["components"].__file__).is_relative_to(Path.cwd())
tower = DecayTower(TrainParameters(), num_items=3, num_sessions=0)
query = tower(None, tf.constant([[1, 2, 3]]), tf.constant([[[1.0, 0.0], [0.0, 1.0], [4.0, 4.0]]]), None)
np.testing.assert_allclose(query[0], [[1, 0], [1 / 3, 2 / 3], [17 / 7, 18 / 7]], rtol=1e-6)
sessions = Sessions(session_ids=np.arange(2), items=np.array([1, 2, 1, 3, 2], np.int32), offsets=np.array([0, 3, 5]))
assert adjacent(sessions, 3).toarray().tolist() == [[0, 2, 0], [2, 0, 1], [0, 1, 0]]
try:
    TrainParameters(loss="bpr")
except ValueError as error:
    assert "pointer" in str(error)
else:
    raise AssertionError("The pointer was not refused")

ingest({name: f"{name}.tsv" for name in ("train", "valid", "test")}, Path("events"), IngestParameters())
make_vocabulary(Path("events"), Path("vocabulary"), min_item_count=1, include_valid=False)
small = dict(embedding_dim=16, num_negatives=64, max_epochs=2, refit=False)
paths = Path("events"), Path("vocabulary")
for name, settings in {"tower": {"query_tower": "decay"}, "loss": {"loss": "bpr", "pointer": False}}.items():
    training = train_model(*paths, Path(name), Path("tensorboard"), TrainParameters(**small, **settings))
    losses = [epoch["mean_loss"] for epoch in training.selection.epochs]
    assert losses[1] < losses[0], (name, losses)
metrics = evaluate(*paths, Path("tower"), Path("metrics.json"), EvaluateParameters())
assert metrics["baselines"]["adjacent"]["recall@20"] > metrics["baselines"]["popularity"]["recall@20"]
"""


STEP_PROGRAM = """
import json
from pathlib import Path

from components.bestsellers.component import bestsellers
from components.core.events import SPLITS, read_split
from pipeline.__main__ import cli
from pipeline.compilation import compile_pipeline
from pipeline.local import run_component
from pipeline.parameter_table import list_parameters
from pipeline.tasks import Tasks

arguments = {"num_bestsellers": 3, "bestseller_days": 2}
made = run_component(bestsellers, Path("out"), artifacts={"events": Path("events")}, arguments=arguments)
rows = [row for split in SPLITS for row in read_split(Path("events"), split).to_pylist()]
newest = max(row["time"] for row in rows)
recent = [row["item_id"] for row in rows if row["time"] > newest - 2 * 86_400_000]
expected = sorted(set(recent), key=lambda item: (-recent.count(item), item))[:3]
assert made["bestsellers"] == Path("out", "bestsellers.json")
assert json.loads(made["bestsellers"].read_text()) == expected
for pipeline in ("training", "retraining"):
    assert "comp-bestsellers" in compile_pipeline(pipeline, Tasks(platform="kfp")).text
assert list_parameters()["num_bestsellers"].bounds == "at least 1"
try:
    cli.main(["run", "--set", "bestseller_days=0", "--output", "none"], standalone_mode=False)
except ValueError as error:
    assert "Expected bestseller_days to be at least 1. Received: 0" in str(error)
else:
    raise AssertionError("The value was not refused")
"""


def apply(block: tuple[str, str, str, str], root: Path) -> None:
    """Writes a new file, or the code before or after the one line that has the block's anchor, or instead of it."""
    name, where, anchor, code = block
    if where == "new file":
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(code)
        return
    lines = (root / name).read_text().splitlines(keepends=True)
    (place,) = [number for number, line in enumerate(lines) if anchor in line]
    begin = place + 1 if where == "after" else place
    lines[begin : place + 1 if where == "instead of" else begin] = [code]
    (root / name).write_text("".join(lines))


def test_each_block_has_a_place():
    assert len(BLOCK.findall(PAGE)) == PAGE.count("```python") == 17


@pytest.mark.slow
def test_the_examples_work(small_log, tmp_path):
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("components", "pipeline"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for path in small_log.values():
        shutil.copy(path, tmp_path)
    for block in BLOCK.findall(PAGE):
        apply(block, tmp_path)
    (tmp_path / "components" / "bestsellers" / "__init__.py").touch()
    variables = {**os.environ, "PYTHONPATH": str(tmp_path), "TF_USE_LEGACY_KERAS": "1"}
    for program in (PROGRAM, STEP_PROGRAM):
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3_000:]
    # The examples keep the rules of the sources themselves.
    rules = ["check", "--config", str(ROOT / "pyproject.toml"), "components", "pipeline"]
    ruff = [sys.executable, "-m", "ruff", *rules]
    checked = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
