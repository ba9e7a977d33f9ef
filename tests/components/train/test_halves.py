import numpy as np
import pytest
import tensorflow as tf

from components.core.sequences import PADDING
from components.train import halves, loss
from components.train.model import TwoTower
from components.train.parameters import TrainParameters


@pytest.fixture(params=[False, True], ids=["cpu", "gpu"])
def has_gpu(request, monkeypatch):
    monkeypatch.setattr(halves, "has_gpu", lambda: request.param)
    return request.param


@pytest.mark.parametrize("num_rows", [0, 1, 2, 5])
def test_the_halves_are_the_rows_in_order(num_rows, has_gpu):
    values = tf.reshape(tf.range(3 * num_rows), [num_rows, 3])
    parts = halves.split_rows(values)
    assert len(parts) == (1 if has_gpu else 2)
    assert abs(len(parts[0]) - len(parts[-1])) <= 1
    np.testing.assert_array_equal(np.concatenate(parts), values)


@pytest.mark.parametrize("num_rows", [1, 4, 5])
def test_the_halves_of_the_softmax_add_up(num_rows, monkeypatch):
    rng = np.random.default_rng(0)
    queries, positives = (tf.constant(rng.normal(size=(num_rows, 3)), tf.float32) for _ in range(2))
    negatives = tf.constant(rng.normal(size=(4, 3)), tf.float32)
    masked = tf.constant([[row, column] for row in range(num_rows) for column in ((0, 3) if row % 2 else (1,))])

    def differentiate(has_gpu):
        monkeypatch.setattr(halves, "has_gpu", lambda: has_gpu)
        with tf.GradientTape() as tape:
            tape.watch([queries, negatives])
            value = loss.sampled_softmax(
                queries,
                positives,
                negatives,
                positive_ids=tf.range(1, num_rows + 1),
                negative_ids=tf.constant([2, 4, 6, 8]),
                negative_log_q=tf.constant([-0.5, -1.0, -1.5, -2.0]),
                temperature=0.5,
                masked=masked,
            )
        return [value, *tape.gradient(value, [queries, negatives])]

    for half, whole in zip(differentiate(has_gpu=False), differentiate(has_gpu=True), strict=True):
        np.testing.assert_allclose(half, whole, rtol=1e-5, atol=1e-6)


def make_model(**rates):
    tf.keras.utils.set_random_seed(0)
    parameters = TrainParameters(embedding_dim=8, mask_rate=0.0, num_negatives=4, **rates)
    model = TwoTower(parameters, counts=np.array([5, 4, 3, 2, 1]), num_sessions=2)
    model.compile(optimizer="sgd")
    return model


ITEMS = [[1, 2, 1], [3, PADDING, PADDING], [2, 4, PADDING]]
TARGETS = [[2, 1, 4], [5, PADDING, PADDING], [4, 3, PADDING]]


@pytest.mark.parametrize("num_rows", [1, 3])
def test_a_step_in_halves_is_the_whole_step(num_rows, monkeypatch):
    batch = {
        "session": tf.zeros(num_rows, tf.int32),
        "items": tf.constant(ITEMS[:num_rows]),
        "targets": tf.constant(TARGETS[:num_rows]),
    }

    def step(has_gpu):
        monkeypatch.setattr(halves, "has_gpu", lambda: has_gpu)
        model = make_model(dropout=0.0, input_dropout=0.0)
        with tf.GradientTape() as tape:
            value = model.compute_loss(batch, training=True)
        return [value, *map(tf.convert_to_tensor, tape.gradient(value, model.trainable_variables))]

    for half, whole in zip(step(has_gpu=False), step(has_gpu=True), strict=True):
        np.testing.assert_allclose(half, whole, rtol=1e-4, atol=1e-6)


def test_the_halves_draw_their_own_dropout(monkeypatch):
    monkeypatch.setattr(halves, "has_gpu", lambda: False)
    model = make_model()
    items = tf.constant([[1, 2, 3]] * 2)
    first, second = model._embed_queries(
        tf.zeros(2, tf.int32), items, model.candidate_tower(items), tf.constant([1, 2])
    )
    assert not np.allclose(first, second)
