import json

import numpy as np
import pytest
import tensorflow as tf

from components.core.saved_model import TRAINING_FILE
from components.evaluate.step import EvaluateParameters, evaluate


class LastItem(tf.Module):
    """A model made by hand: the query is the newest item's one-hot vector, and so is each candidate."""

    def __init__(self, item_ids):
        super().__init__()
        self.item_ids = tf.constant(item_ids)

    def one_hot(self, ids):
        return tf.cast(ids[:, tf.newaxis] == self.item_ids, tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.string)])
    def query(self, session_id, item_ids):
        last = tf.reduce_sum(tf.cast(item_ids != "", tf.int32), axis=1) - 1
        return {"embedding": self.one_hot(tf.gather(item_ids, last, batch_dims=1))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def candidate(self, item_ids):
        return {"embedding": self.one_hot(item_ids)}


@pytest.fixture
def document(make_artifacts, tmp_path):
    def run(test_sessions, **parameters):
        train = {"s1": ["a", "b", "a", "c"], "s2": ["a", "d", "b"]}  # a 3, b 2, c 1, d 1
        artifacts = make_artifacts(train=train, valid=train, test=test_sessions)
        model_dir = tmp_path / "model"
        tf.saved_model.save(LastItem(["a", "b", "c", "d"]), str(model_dir))
        (model_dir / TRAINING_FILE).parent.mkdir(exist_ok=True)
        (model_dir / TRAINING_FILE).write_text(json.dumps({"parameters": {"refit": False}}))
        path = tmp_path / "metrics.json"
        made = evaluate(*artifacts, model_dir, path, EvaluateParameters(evaluate_ks=(1, 2, 4), **parameters))
        assert json.loads(path.read_text()) == made
        return made

    return run


def test_by_hand(document):
    made = document({"s1": ["a", "a", "b"], "t2": ["c", "c"]})
    # Targets: a after a (rank 1), b after a (score 0, tied with c and d: rank 4), c after c (rank 1).
    assert (made["num_targets"], made["num_unknown_targets"]) == (3, 0)
    assert (made["num_sessions"], made["num_unknown_sessions"]) == (2, 1)
    assert made["model"]["recall@1"] == pytest.approx(2 / 3)
    assert made["model"]["mrr@4"] == pytest.approx((1 + 1 / 4 + 1) / 3)
    # Popularity ranks a 1, b 2, and c and d, which tie, 4.
    assert made["baselines"]["popularity"]["recall@1"] == pytest.approx(1 / 3)
    assert made["baselines"]["popularity"]["mrr@4"] == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)
    assert {"session_popularity", "markov", "sequential_rules", "item_knn", "v_sknn", "stan"} < set(made["baselines"])
    assert made["by_prefix_length"]["1"]["num_targets"] == 2
    assert made["by_prefix_length"]["2"]["recall@20"] == 1.0
    # a has 3 of 7 events, b 2, c and d 1: a begins in the first third, b in the second, c and d in the last.
    assert {name: group["num_targets"] for name, group in made["by_target_popularity"].items()} == {
        "head": 1, "torso": 1, "tail": 1,
    }  # fmt: skip


def test_an_unknown_target_is_a_miss_and_left_out_beside(document):
    made = document({"t": ["a", "new", "b", "b"]})
    # new after a: missed. b after new: an unknown item says nothing, all items tie at rank 4. b after b: 1.
    assert (made["num_targets"], made["num_unknown_targets"]) == (3, 1)
    assert made["model"]["mrr@4"] == pytest.approx((0 + 1 / 4 + 1) / 3)
    assert made["known_targets"]["model"]["mrr@4"] == pytest.approx((1 / 4 + 1) / 2)


def test_min_prefix(document):
    made = document({"t": ["a", "a", "b", "b"]}, min_prefix=3)
    assert made["num_targets"] == 1
    assert made["model"]["recall@1"] == 1.0


def test_whole_sessions_are_drawn(document):
    sessions = {f"t{number}": ["a", "a", "b"] for number in range(5)}
    made = document(sessions, max_test_targets=5)
    assert (made["num_targets"], made["num_targets_in_split"], made["num_sessions"]) == (4, 10, 2)
    everything = document(sessions, max_test_targets=0)
    assert (everything["num_targets"], everything["num_targets_in_split"]) == (10, 10)


def test_nothing_to_score_says_so(document):
    with pytest.raises(ValueError, match=r"Expected test sessions with at least 4 events. Received: 1 sessions"):
        document({"t": ["a", "b"]}, min_prefix=3)


@pytest.mark.parametrize(
    "setting", [{"evaluate_ks": []}, {"evaluate_ks": [0]}, {"min_prefix": 0}, {"max_test_targets": -1}]
)
def test_parameters_are_checked(setting):
    with pytest.raises(ValueError, match=f"Expected {next(iter(setting))}"):
        EvaluateParameters(**setting)


def test_metrics_are_numbers_even_without_known_targets(document):
    made = document({"t": ["a", "new"]})
    assert np.isfinite(list(made["model"].values())).all()
    assert made["known_targets"] == {"model": {}, "baselines": {}}
