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
BLOCK = re.compile(r"```python\n# In (\S+), (before|after|instead of): ([^\n]+)\n(.*?)```", re.DOTALL)

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


def apply(block: tuple[str, str, str, str], root: Path) -> None:
    """Inserts the code of a block before or after the one line that has its anchor, or replaces that line."""
    name, where, anchor, code = block
    lines = (root / name).read_text().splitlines(keepends=True)
    (place,) = [number for number, line in enumerate(lines) if anchor in line]
    begin = place + 1 if where == "after" else place
    lines[begin : place + 1 if where == "instead of" else begin] = [code]
    (root / name).write_text("".join(lines))


def test_each_block_has_a_place():
    assert len(BLOCK.findall(PAGE)) == PAGE.count("```python") == 9


@pytest.mark.slow
def test_the_examples_work(small_log, tmp_path):
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "components", tmp_path / "components", ignore=ignored)
    for path in small_log.values():
        shutil.copy(path, tmp_path)
    for block in BLOCK.findall(PAGE):
        apply(block, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    # The examples keep the rules of the sources themselves.
    ruff = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "components"]
    checked = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
