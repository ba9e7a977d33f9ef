import numpy as np
import pytest
import tensorflow as tf

from components.core.loss import MASKED
from components.core.model import TwoTower
from components.core.parameters import TrainParameters
from components.core.sequences import PADDING


@pytest.fixture(params=["attention", "gru_attention"])
def model(request):
    parameters = TrainParameters(query_tower=request.param, embedding_dim=8, temperature=0.5)
    return TwoTower(parameters, counts=np.array([5, 4, 3, 2, 1]), num_sessions=2)


def test_a_sessions_own_items_are_negatives_once_each(model):
    items = tf.constant([[1, 2, 1], [3, PADDING, PADDING]])
    targets = tf.constant([[2, 1, 4], [5, PADDING, PADDING]])
    queries = model.embed_queries(tf.zeros(2, tf.int32), items)
    logits = model._session_logits(queries, items, targets).numpy()
    share = np.where(logits == MASKED, 0.0, np.exp(logits))
    scores = np.exp((queries @ tf.transpose(model.embed_candidates())).numpy() / 0.5)  # column i: index i + 1
    # Session 1 holds 1, 2 and 4. At each position all but the target are negatives, and 1, which comes twice, once.
    for position, negatives in enumerate([[1, 4], [2, 4], [1, 2]]):
        expected = sum(scores[0, position, item - 1] for item in negatives)
        assert share[0, position].sum() == pytest.approx(expected, rel=1e-5)
    assert share[1, 0].sum() == pytest.approx(scores[1, 0, 3 - 1], rel=1e-5)


def test_embed_last_is_the_last_position(model):
    items = tf.constant([[1, 2, 3], [4, PADDING, PADDING]])
    every = model.embed_queries(tf.zeros(2, tf.int32), items).numpy()
    last = model.embed_last(tf.zeros(2, tf.int32), items).numpy()
    np.testing.assert_allclose(last, [every[0, 2], every[1, 0]], rtol=1e-5)


def test_an_unknown_item_is_passed_over(model):
    session = tf.zeros(1, tf.int32)
    known = model.embed_last(session, tf.constant([[3, 4]]))
    np.testing.assert_allclose(model.embed_last(session, tf.constant([[3, 0, 4, 0]])), known, rtol=1e-5)


def test_the_trend_is_added_to_the_logits():
    def make(trend):
        tf.keras.utils.set_random_seed(0)
        parameters = TrainParameters(query_tower="mean", embedding_dim=8, temperature=0.5)
        return TwoTower(parameters, counts=np.ones(3), num_sessions=0, trend=trend)

    def logits(model):
        query = model.embed_last(tf.zeros(1, tf.int32), tf.constant([[2]]))
        return (query @ tf.transpose(model.embed_candidates())).numpy()[0] / 0.5

    trend = np.array([1.0, -2.0, 0.5], np.float32)
    np.testing.assert_allclose(logits(make(trend)), logits(make(None)) + trend, rtol=1e-5)
    assert make(trend).embed_items(tf.constant([0]))[0, -1] == 0.0
