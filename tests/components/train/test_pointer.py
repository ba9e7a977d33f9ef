import numpy as np
import pytest
import tensorflow as tf

from components.core.sequences import PADDING
from components.train.loss import MASKED
from components.train.pointer import (
    DISTANCES,
    LOGIT_SCALE,
    NUM_FEATURES,
    OwnItems,
    Pointer,
    own_features,
    own_items_of_positions,
    own_items_of_sessions,
)

# Repeats, unknown items, only unknown items, one item many times, one event, and nothing but padding.
BY_HAND = [
    [1, 2, 1, 0, 2, 3],
    [0, 0, 0, PADDING, PADDING, PADDING],
    [4, 4, 4, 4, PADDING, PADDING],
    [5, PADDING, PADDING, PADDING, PADDING, PADDING],
    [PADDING] * 6,
]


def draw_sessions(seed):
    rng = np.random.default_rng(seed)
    items = rng.integers(0, 6, (40, 12))
    lengths = rng.integers(0, 13, 40)
    return np.where(np.arange(12) < lengths[:, np.newaxis], items, PADDING).astype(np.int32)


SESSIONS = [np.array(BY_HAND, np.int32), *map(draw_sessions, range(3))]


def find_own(items):
    """Place, number of events after it and count of each known item, in plain Python."""
    newest = {item: place for place, item in enumerate(items) if item > 0}
    return {place: (len(items) - 1 - place, items.count(item)) for item, place in newest.items()}


def read(own, where):
    """What `find_own` gives, from tensors."""
    is_own, distance, count = (np.broadcast_to(each.numpy(), own.is_own.shape)[where] for each in own)
    return {place: (distance[place], count[place]) for place in np.flatnonzero(is_own).tolist()}


@pytest.mark.parametrize("items", SESSIONS)
def test_own_items_are_those_found_one_by_one(items):
    every = own_items_of_positions(tf.constant(items))
    for row, position in np.ndindex(items.shape):
        if items[row, position] != PADDING:
            assert read(every, (row, position)) == find_own(items[row, : position + 1].tolist())
    lengths = (items != PADDING).sum(axis=1)
    last = own_items_of_sessions(tf.constant(items), tf.constant(lengths, tf.int32))
    for row, length in enumerate(lengths):
        assert read(last, row) == find_own(items[row, :length].tolist())
    assert [each.dtype for each in every] == [each.dtype for each in last] == [tf.bool, tf.int32, tf.float32]


@pytest.mark.parametrize("items", SESSIONS)
def test_both_ways_give_the_same_features_at_the_last_position(items):
    lengths = (items != PADDING).sum(axis=1)
    logits = np.random.default_rng(0).normal(0.0, 5.0, (*items.shape, items.shape[1])).astype(np.float32)
    every = own_features(tf.constant(logits), own_items_of_positions(tf.constant(items))).numpy()
    at = (np.arange(len(items)), np.maximum(lengths - 1, 0))
    last = own_features(
        tf.constant(logits[at]), own_items_of_sessions(tf.constant(items), tf.constant(lengths, tf.int32))
    ).numpy()
    np.testing.assert_allclose(last, every[at], rtol=1e-5, atol=1e-6)


def test_no_session_and_no_event_are_shapes_too():
    for shape in ((0, 3), (2, 1)):
        items = tf.fill(shape, PADDING)
        own = own_items_of_sessions(items, tf.zeros(shape[0], tf.int32))
        assert own.is_own.shape == shape
        assert not own.is_own.numpy().any()
        assert own_features(tf.zeros(shape), own).shape == (*shape, NUM_FEATURES)


def test_features_by_hand():
    # Session 7, 5, 7, unknown, 9, read to the end: 5 stands three events back, 7 two, 9 is the current item.
    logits = np.array([[99.0, -2.0, 3.0, 99.0, 0.5]], np.float32)
    own = own_items_of_sessions(tf.constant([[7, 5, 7, 0, 9]]), tf.constant([5]))
    features = own_features(tf.constant(logits), own).numpy()[0]
    session = [np.log(5), np.log(3), LOGIT_SCALE * np.log(np.exp(-2) + np.exp(3) + np.exp(0.5))]
    nothing = [0.0] * 5

    def bucket(distance):
        return [float(distance == each) for each in DISTANCES]

    expected = [
        [0.0] * NUM_FEATURES,
        [*bucket(3), *nothing, np.log(1), LOGIT_SCALE * -2, *session],
        [*bucket(2), *nothing, np.log(2), LOGIT_SCALE * 3, *session],
        [0.0] * NUM_FEATURES,
        [*bucket(0), np.log(1), LOGIT_SCALE * 0.5, *session, *nothing],
    ]
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_the_bucket_of_a_distance_is_the_last_that_begins_with_it_or_before():
    items = np.arange(1, 41, dtype=np.int32)[np.newaxis]
    features = own_features(tf.zeros([1, 40]), own_items_of_sessions(tf.constant(items), tf.constant([40]))).numpy()[0]
    for place in range(40):
        [bucket] = np.flatnonzero(features[place, : len(DISTANCES)])
        following = [*DISTANCES[1:], 1_000][bucket]
        assert DISTANCES[bucket] <= 39 - place < following


@pytest.mark.parametrize("size", [1.0, 1e3, 1e9, 1e30])
def test_features_and_gradients_are_numbers_whatever_the_logits(size):
    items = tf.constant(SESSIONS[0])
    own = own_items_of_positions(items)
    logits = np.full((*items.shape, items.shape[1]), -size, np.float32)
    logits[:, 1::2] = size
    logits = tf.Variable(np.where(own.is_own, logits, -size))
    pointer = Pointer()
    pointer.trained.assign(np.linspace(-1.0, 1.0, NUM_FEATURES))
    with tf.GradientTape() as tape:
        features = own_features(logits, own)
        bonus = pointer(logits, own, training=True)
        loss = tf.reduce_sum(tf.tanh(bonus)) + tf.reduce_sum(tf.tanh(features))
    assert np.isfinite(features).all()
    assert (features.numpy()[~own.is_own.numpy()] == 0.0).all()
    assert (bonus.numpy()[~own.is_own.numpy()] == 0.0).all()
    by_logits, by_weights = tape.gradient(loss, [logits, pointer.trained])
    assert np.isfinite(by_logits).all()
    assert np.isfinite(by_weights).all()
    assert (by_logits.numpy()[~own.is_own.numpy()] == 0.0).all()


def test_the_gradient_is_that_of_finite_differences():
    own = own_items_of_sessions(tf.constant([[7, 5, 7, 0, 9], [1, 1, PADDING, PADDING, PADDING]]), tf.constant([5, 2]))
    logits = np.random.default_rng(0).normal(0.0, 2.0, (2, 5)).astype(np.float32)
    pointer = Pointer()
    pointer.trained.assign(np.random.default_rng(1).normal(size=NUM_FEATURES))

    def value(logits):
        return tf.reduce_sum(pointer(logits, own, training=True))

    theoretical, numerical = tf.test.compute_gradient(value, [tf.constant(logits)], delta=0.1)
    np.testing.assert_allclose(theoretical[0], numerical[0], atol=5e-3)


def test_without_own_items_the_session_has_no_logits():
    own = OwnItems(tf.constant([[False]]), tf.constant([[0]]), tf.constant([[1.0]]))
    assert not own_features(tf.constant([[MASKED]]), own).numpy().any()


def test_inference_uses_what_is_served():
    pointer = Pointer()
    own = own_items_of_sessions(tf.constant([[3]]), tf.constant([1]))
    logits = tf.constant([[2.0]])
    assert pointer(logits, own).numpy() == pointer(logits, own, training=True).numpy() == 0.0
    pointer.trained.assign(tf.one_hot(0, NUM_FEATURES))  # 1 for the current item
    assert (pointer(logits, own).numpy(), pointer(logits, own, training=True).numpy()) == (0.0, 1.0)
    pointer.serve()
    assert pointer(logits, own).numpy() == 1.0
    pointer.serve(np.full(NUM_FEATURES, -1.0, np.float32))
    assert pointer(logits, own).numpy() == pytest.approx(-1 - LOGIT_SCALE * 4)
    assert pointer(logits, own, training=True).numpy() == 1.0
    assert [variable.name for variable in pointer.trainable_variables] == ["pointer:0"]
