import numpy as np
import pytest
import tensorflow as tf

from components.core.sequences import PADDING
from components.train.pointer import (
    NUM_FEATURES,
    own_bonus,
    own_features,
    own_items_of_positions,
    own_items_of_sessions,
)

SESSIONS = np.array([[1, 2, 1, 0, 2, 3], [4, 4, 4, 4, PADDING, PADDING], [0, 0] + [PADDING] * 4, [PADDING] * 6])
LONG = np.random.default_rng(0).integers(0, 20, (3, 40))  # reaches every bucket of distances


def at_positions(items):
    own = own_items_of_positions(items)
    return own, (*items.shape, items.shape[1])


def at_the_end(items):
    return own_items_of_sessions(items, tf.reduce_sum(tf.cast(items != PADDING, tf.int32), axis=1)), items.shape


@pytest.mark.parametrize("find", [at_positions, at_the_end])
@pytest.mark.parametrize("items", [SESSIONS, LONG], ids=["short", "long"])
def test_the_bonus_is_the_product_of_features_and_weights(items, find):
    """Values and gradients against the product itself."""
    own, shape = find(tf.constant(items, tf.int32))
    rng = np.random.default_rng(1)
    logits = tf.Variable(rng.normal(0.0, 3.0, shape), dtype=tf.float32)
    weights = tf.Variable(rng.normal(size=NUM_FEATURES), dtype=tf.float32)
    upstream = tf.constant(rng.normal(size=shape), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        bonus = own_bonus(logits, own, weights)
        product = tf.linalg.matvec(own_features(logits, own), weights)
        value, expected = tf.reduce_sum(upstream * bonus), tf.reduce_sum(upstream * product)
    assert bonus.shape == shape
    np.testing.assert_allclose(bonus, product, rtol=1e-5, atol=1e-5)
    assert (bonus.numpy()[~own.is_own.numpy()] == 0.0).all()
    for variable in (logits, weights):
        np.testing.assert_allclose(
            tape.gradient(value, variable), tape.gradient(expected, variable), rtol=1e-4, atol=1e-4
        )
