"""What loading an index says, and what it sets."""

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from factories import make_vocabulary_of
from lookup_model import LookupModel, save_model

from components.core.saved_model import list_catalogue, load_index
from components.export import check
from components.export.index import Index, recommend
from components.publish.warm_up import write_warm_up
from components.recommend.answers import BulkIndex
from components.serve.loaded_index import LoadedIndex

ITEM_IDS = ["i1", "Scann>TensorsToScann", "i3"]
READERS = {
    "one session": lambda folder: recommend(folder, ["i1"], k=1, exclude_seen=False),
    "many sessions": BulkIndex,
    "server": lambda folder: LoadedIndex(folder, version=1),
    "warm-up": lambda folder: write_warm_up(folder, ["i1"], folder / "requests"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = LookupModel(ITEM_IDS)
    save_model(model, folder / "model")
    candidates = model.candidate(tf.constant(ITEM_IDS))["embedding"].numpy()
    options = {"vocabulary": make_vocabulary_of(ITEM_IDS), "embedding_dim": 16, "max_length": 8}
    Index(model, candidates=candidates, **options).save(folder / "index")
    return folder


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_an_index_says_the_same_of_what_is_none(folder, tmp_path, reader):
    expected = r"Expected the folder of an index, which export writes with the signatures .*recommend.* Received: "
    with pytest.raises(
        ValueError, match=expected + ".*/model, which holds the towers; the index is the folder `index`"
    ):
        READERS[reader](folder / "model")
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    with pytest.raises(ValueError, match=expected + ".*/empty with the signatures none; export it again"):
        READERS[reader](tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"Expected an index, a folder with saved_model.pb. Received: "):
        READERS[reader](tmp_path / "nowhere")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "saved_model.pb").write_bytes(b"torn")
    with pytest.raises(OSError, match=r"Expected .*/torn/saved_model.pb to be a SavedModel. Received: "):
        READERS[reader](tmp_path / "torn")


def cut(path):
    os.truncate(path, 100)


def spoil(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "pattern"),
    [
        (cut, "variables/*data*"),
        (cut, "variables/*index"),
        (spoil, "variables/*data*"),
        (Path.unlink, "variables/*data*"),
        (Path.unlink, "variables/*index"),
        (shutil.rmtree, "variables"),
    ],
)
def test_a_damaged_index_says_what_to_do(folder, tmp_path, damage, pattern):
    index_dir = shutil.copytree(folder / "index", tmp_path / "index [1]")
    damage(next(index_dir.glob(pattern)))
    expected = rf"^The index {re.escape(str(index_dir))} is damaged or incomplete: [^\n]+\. Copy or export it again\.$"
    with pytest.raises(OSError, match=expected):
        load_index(index_dir, signatures=())


def test_an_item_with_the_name_of_an_operation_needs_no_package(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "scann.scann_ops.py.scann_ops", None)
    assert b"Scann>" in (folder / "index" / "saved_model.pb").read_bytes()
    assert list_catalogue(load_index(folder / "index", signatures=()).signatures).to_pylist() == ITEM_IDS
    assert check.load(str(folder / "index")).signatures


def test_gpus_compute_the_scores_in_float32(folder):
    tf.config.experimental.enable_tensor_float_32_execution(True)  # TensorFlow's default
    load_index(folder / "index", signatures=())
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_the_number_of_items_does_not_depend_on_the_search(folder):
    model = LookupModel(ITEM_IDS)
    scores = model.candidate(tf.constant(ITEM_IDS))["embedding"].numpy()
    assert BulkIndex(folder / "index").num_items == np.shape(scores)[0] == len(ITEM_IDS)
