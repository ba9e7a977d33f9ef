import numpy as np
import pytest
import tensorflow as tf

from components.core.sequences import PADDING
from components.train.checkpoints import Checkpoints
from components.train.model import TwoTower
from components.train.parameters import TrainParameters
from components.train.successors import SuccessorTable

COUNTS = np.array([300, 100, 2, 1, 0])  # items 1 to 5


def make_table(half_count, value=1.0):
    table = SuccessorTable(COUNTS, dimension=3, half_count=half_count, rate=0.5)
    table.table.assign(tf.fill(table.table.shape, value))
    return table


def test_the_weight_of_a_row_depends_on_the_count():
    added = make_table(100.0)(tf.constant([[1, 2, 3, 4]]), None)[0].numpy()
    np.testing.assert_allclose(added, [[0.75] * 3, [0.5] * 3, [2 / 102] * 3, [0] * 3], rtol=1e-6)


def test_rare_items_have_no_row_and_unknown_items_and_padding_add_nothing():
    table = make_table(100.0)
    assert table.table.shape == (4, 3)  # items 1 to 3: the weight of item 4 is 1 / 101, below 0.01
    np.testing.assert_array_equal(table(tf.constant([[0, PADDING, 4, 5]]), None), np.zeros((1, 4, 3)))
    assert make_table(1e9).table.shape == (1, 3)


def test_an_item_that_became_rare_keeps_the_rows_before_it():
    """After a refit, the indices are not in the order of the counts of train alone."""
    table = SuccessorTable(np.array([100, 0, 50]), dimension=2, half_count=100.0, rate=0.5)
    table.table.assign(tf.ones_like(table.table))
    np.testing.assert_allclose(table(tf.constant([[1, 2, 3]]), None)[0, :, 0], [1 / 2, 0, 1 / 3], rtol=1e-6)


def test_training_drops_half_of_the_coordinates():
    table = SuccessorTable(np.array([100]), dimension=2_000, half_count=100.0, rate=0.5)
    table.table.assign(tf.ones_like(table.table))
    added = table(tf.constant([[1]]), tf.constant([1, 2])).numpy()
    assert set(np.unique(added)) == {0.0, 1.0}  # 1/2, and twice that where it is kept
    assert 0.4 < added.mean() < 0.6


def make_model(tower="mean", half_count=100.0, **parameters):
    parameters = TrainParameters(
        query_tower=tower, embedding_dim=4, num_negatives=8, successor_half_count=half_count, **parameters
    )
    model = TwoTower(parameters, counts=COUNTS, num_sessions=3)
    model.build_variables()
    return model


def test_a_new_model_ranks_as_one_without_successors():
    model = make_model()
    items = tf.constant([[1, 3, 2, 0]])
    queries = model.embed_queries(tf.zeros([1], tf.int32), items)
    without = make_model(half_count=0.0)
    without.candidate_tower.table.assign(model.candidate_tower.table)
    assert without.successors is None
    np.testing.assert_allclose(queries, without.embed_queries(tf.zeros([1], tf.int32), items), rtol=1e-6)


def test_a_row_turns_the_query_towards_what_follows_the_newest_item():
    model = make_model()
    target = model.candidate_tower(tf.constant([4]))[0].numpy()
    model.successors.table.assign(tf.tensor_scatter_nd_update(model.successors.table, [[1]], [1e3 * target]))
    queries = model.embed_queries(tf.zeros([1], tf.int32), tf.constant([[2, 1, 2]]))[0].numpy()
    assert queries[1] @ target == pytest.approx(1.0, abs=1e-4)
    assert max(queries[0] @ target, queries[2] @ target) < 0.999  # only where item 1 is the newest


def test_the_gradient_reaches_the_row_of_the_newest_item_alone():
    model = make_model()
    model.compile(optimizer="sgd")
    batch = {
        "session": tf.zeros([1], tf.int32),
        "items": tf.constant([[1, 2, PADDING]]),
        "targets": tf.constant([[PADDING, 3, PADDING]]),  # only the position of item 2 is scored
    }
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    gradient = tf.convert_to_tensor(tape.gradient(loss, model.successors.table)).numpy()
    assert np.flatnonzero(np.abs(gradient).sum(axis=1)).tolist() == [2]


def test_a_checkpoint_that_would_lose_weights_is_refused(tmp_path, monkeypatch):
    model = make_model()
    model.compile(optimizer="sgd")
    Checkpoints(model, tmp_path)
    monkeypatch.setattr(TwoTower, "parts", {"candidate_tower": model.candidate_tower})
    with pytest.raises(ValueError, match="Missing: pointer:0, successors:0"):
        Checkpoints(model, tmp_path)


def test_the_session_id_tower_has_no_successors():
    assert make_model("session_id", loss="in_batch", pointer=False).successors is None
