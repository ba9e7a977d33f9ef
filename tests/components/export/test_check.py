import json

import numpy as np
import pytest
import tensorflow as tf

from components.core.events import describe_split, read_split
from components.export import check
from components.export.step import _find_best, export
from components.train.parameters import TrainParameters
from components.train.step import train_model


class Fixed(tf.Module):
    """Answers the session of the item a with two items, and every other session with two others."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.string, "item_ids"),
            tf.TensorSpec([None], tf.int32, "k"),
            tf.TensorSpec([None, None], tf.string, "exclude_ids"),
        ]
    )
    def recommend(self, item_ids, k, exclude_ids):
        is_a = item_ids[:, :1] == "a"
        found = tf.where(is_a, [["b", "é"]], [["c", "d"]])
        return {"item_ids": found[:, : k[0]], "scores": tf.where(is_a, [[3.0, 1.5]], [[-4.5, 0.5]])[:, : k[0]]}


@pytest.fixture
def signatures(tmp_path):
    model = Fixed()
    tf.saved_model.save(model, str(tmp_path / "index"), signatures={"recommend": model.recommend})
    return tf.saved_model.load(str(tmp_path / "index")).signatures


def test_an_index_is_measured_as_it_was_worked_out_by_hand(signatures):
    # The first session: both are right, one score differs by 0.5. The second: c is right and differs by 0.5, d is not.
    best = [{"b": 3.0, "é": 1.0}, {"c": -5.0, "e": 1.0}]
    measured = check.measure(signatures, [["a", "x"], ["y"]], best, largest=5.0, k=2)
    assert measured["index_recall"] == 3 / 4
    assert measured["score_difference"] == pytest.approx(0.5 / 5.0)
    assert measured["num_queries"] == 100  # 2 sessions, repeated
    assert 0 < measured["p50_ms"] <= measured["p99_ms"]


def test_items_that_tie_with_the_last_are_all_right(signatures):
    best = [{"b": 3.0, "é": 1.5, "f": 1.5, "g": 1.5}]
    measured = check.measure(signatures, [["a"]] * 130, best * 130, largest=3.0, k=2)
    assert (measured["index_recall"], measured["score_difference"]) == (1.0, 0.0)
    assert measured["num_queries"] == 260 // 2


class Empty(tf.Module):
    """An index that knows no item."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, "item_ids")])
    def known(self, item_ids):
        return {"known": tf.zeros_like(item_ids, tf.bool)}


def test_the_check_computes_in_float32_on_gpus(tmp_path, monkeypatch, capsys):
    index = Empty()
    tf.saved_model.save(index, str(tmp_path), signatures={"recommend": index.known, "known": index.known})
    (tmp_path / "probes.json").write_text(json.dumps({"sessions": [["a"]], "item_ids": ["a"], "k": 1}))
    (tmp_path / "queries.json").write_text("{}")
    monkeypatch.setattr(check, "measure", lambda *_: {})
    np.save(tmp_path / "exact.npy", np.ones([1, 1], np.float32))
    tf.config.experimental.enable_tensor_float_32_execution(True)  # TensorFlow's default
    assert check.main(str(tmp_path), str(tmp_path)) == 1
    assert "an index that does not know all of them" in capsys.readouterr().out
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_the_best_items_are_those_of_a_sort():
    scores = tf.constant([[0.1, 0.5, -2.0, 0.5], [3.0, 2.0, 1.0, 0.0]]).numpy()
    best, largest = _find_best(lambda rows: scores[rows], ["a", "b", "c", "d"], num_queries=2, k=1)
    assert (best, largest) == ([{"b": 0.5, "d": 0.5}, {"a": 3.0}], 3.0)
    best, _ = _find_best(lambda rows: scores[rows], ["a", "b", "c", "d"], num_queries=2, k=4)
    assert [sorted(each) for each in best] == [["a", "b", "c", "d"]] * 2


@pytest.mark.slow
def test_what_is_measured_is_what_the_gate_reads(small_artifacts, tmp_path):
    parameters = TrainParameters(
        query_tower="mean", embedding_dim=8, num_negatives=16, max_epochs=1, min_steps_per_epoch=0, refit=False
    )
    train_model(*small_artifacts, tmp_path / "model", tmp_path / "tensorboard", parameters)
    made = export(*small_artifacts, tmp_path / "model", tmp_path / "index", tmp_path / "embeddings.parquet")
    document = json.loads(json.dumps(made.index_check, allow_nan=False))
    test = read_split(small_artifacts[0], "test")
    assert (document["schema_version"], document["test"]) == (1, describe_split(test))
    assert document["index_recall"] == 1.0
    assert document["score_difference"] < 1e-5
    assert 100 <= document["num_queries"] <= 1_000
