import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.core.literal_paths import escape_for_duckdb, literal_path

DESCRIPTORS = Path("/proc/self/fd")

NAMES = [
    "plain",
    "lr=[0.002]",
    "a*",
    "a?",
    "{a,b}",
    "back\\d",
    'it\'s "quoted"',
    "é 漢 🙂",
    "line\nfeed",
    os.fsdecode(b"not UTF-8 \xff"),
]


class Counter(tf.Module):
    def __init__(self, value):
        super().__init__()
        self.value = tf.Variable(value)

    @tf.function(input_signature=[])
    def read(self):
        return self.value


@pytest.mark.parametrize("name", NAMES)
def test_tensorflow_writes_and_reads_there(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    with literal_path(folder) as path:
        tf.saved_model.save(Counter(7), path)
        assert tf.saved_model.load(path).read().numpy() == 7
        tf.train.Checkpoint(counter=Counter(8)).write(f"{path}/epoch-1")
        restored = Counter(0)
        tf.train.Checkpoint(counter=restored).read(f"{path}/epoch-1").assert_consumed()
    assert restored.value.numpy() == 8
    assert {"saved_model.pb", "variables", "epoch-1.index"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["run*", "ru[mn]2", "run?", "{run2,run3}"])
def test_a_name_does_not_stand_for_its_neighbour(tmp_path, name):
    for value, folder in ((1, tmp_path / name), (2, tmp_path / "run2")):
        folder.mkdir()
        with literal_path(folder) as path:
            tf.saved_model.save(Counter(value), path)
    with literal_path(tmp_path / name) as path:
        assert tf.saved_model.load(path).read().numpy() == 1


@pytest.mark.parametrize("name", ["run*", "ru[mn]2", "run?"])
def test_duckdb_reads_the_file_and_not_its_neighbour(tmp_path, name):
    pq.write_table(pa.table({"a": [1]}), tmp_path / name)
    pq.write_table(pa.table({"a": [2]}), tmp_path / "run2")
    assert duckdb.from_parquet(escape_for_duckdb(tmp_path / name)).fetchall() == [(1,)]


def test_a_relative_path_from_inside_such_a_folder(tmp_path, monkeypatch):
    (tmp_path / "lr=[0.002]" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "lr=[0.002]")
    with literal_path(tmp_path / "lr=[0.002]" / "model") as path:
        tf.saved_model.save(Counter(3), path)
    for relative in ("model", "../lr=[0.002]/model"):
        with literal_path(Path(relative)) as path:
            assert tf.saved_model.load(path).read().numpy() == 3


def test_an_ordinary_path_stays_as_it_is_and_no_descriptor_stays_open(tmp_path):
    num_open = len(list(DESCRIPTORS.iterdir()))
    with literal_path(tmp_path) as path:
        assert path == str(tmp_path)
    (tmp_path / "[a]").mkdir()
    with pytest.raises(RuntimeError), literal_path(tmp_path / "[a]"):
        raise RuntimeError
    assert len(list(DESCRIPTORS.iterdir())) == num_open


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\[none\]"), literal_path(tmp_path / "[none]"):
        pass
