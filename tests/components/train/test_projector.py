import re

import numpy as np
import pyarrow as pa
import pytest
from factories import HOSTILE_IDS

from components.train import projector


def test_tensorboard_reads_each_item_beside_its_embedding(tmp_path, monkeypatch):
    monkeypatch.setattr(projector, "MAX_ITEMS", len(HOSTILE_IDS) - 3)
    count = np.arange(len(HOSTILE_IDS), 0, -1)
    embeddings = np.random.default_rng(0).normal(size=(len(HOSTILE_IDS), 4)).astype(np.float32)
    projector.write_projector(pa.array(HOSTILE_IDS), count, embeddings, tmp_path / "logs")
    config = (tmp_path / "logs" / "projector_config.pbtxt").read_text()
    described = dict(re.findall(r'(\w+): "(.+)"', config))
    # As TensorBoard's projector reads them: a line per row, tabs between the columns, the first row of names.
    vectors = np.loadtxt(tmp_path / "logs" / described["tensor_path"], delimiter="\t")
    text = (tmp_path / "logs" / described["metadata_path"]).read_bytes().decode()
    names, *rows = text.removesuffix("\n").split("\n")
    assert names == "item\tevents"
    assert vectors == pytest.approx(embeddings[:-3], abs=1e-4)
    expected = [each.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r") for each in HOSTILE_IDS[:-3]]
    assert [row.split("\t") for row in rows] == [[each, str(n)] for each, n in zip(expected, count[:-3], strict=True)]
