import numpy as np
import pytest
import tensorflow as tf

from components.core.sequences import PADDING
from components.train.parameters import MIN_RATE, TrainParameters
from components.train.towers import QUERY_TOWERS, CandidateTower, dropout, make_query_tower, unit

NUM_ITEMS = 9


@pytest.fixture(params=QUERY_TOWERS)
def tower(request):
    return make(request.param)


def make(name: str, dropout: float = 0.0):
    tf.keras.utils.set_random_seed(0)
    parameters = TrainParameters(
        query_tower=name, embedding_dim=8, loss="in_batch", pointer=False, dropout=dropout, max_session_length=6
    )
    made = make_query_tower(parameters, num_items=NUM_ITEMS, num_sessions=3)
    # Larger weights than a fresh tower has, so that differences show.
    call(made, [[1, 2]])
    rng = np.random.default_rng(0)
    for weight in made.weights:
        weight.assign(0.3 * rng.normal(size=weight.shape))
    return made


TABLE = np.random.default_rng(1).normal(size=(NUM_ITEMS + 1, 8)).astype(np.float32)


def call(tower, items, session=None, seed=None):
    session = tf.zeros(len(items), tf.int32) if session is None else tf.constant(session)
    embeddings = tf.gather(TABLE, tf.maximum(items, 0))
    return tower(session, tf.constant(items, tf.int32), embeddings, seed).numpy()


def test_one_embedding_a_position(tower):
    assert call(tower, [[1, 2, 3, 4], [5, 6, 7, 8]]).shape == (2, 4, 8)


def test_no_position_knows_a_later_item(tower):
    one, other = call(tower, [[1, 2, 3, 4]]), call(tower, [[1, 2, 8, 9]])
    np.testing.assert_allclose(one[:, :2], other[:, :2], rtol=1e-5, atol=1e-6)


def test_padding_changes_nothing(tower):
    alone = call(tower, [[1, 2]])
    padded = call(tower, [[1, 2, PADDING, PADDING], [3, 4, 5, 6]])
    np.testing.assert_allclose(alone[0], padded[0, :2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["last_item", "mean", "gru", "attention", "gru_attention"])
def test_the_newest_item_counts(name):
    tower = make(name)
    assert not np.allclose(call(tower, [[1, 2]])[:, 1], call(tower, [[1, 3]])[:, 1])


@pytest.mark.parametrize("name", ["mean", "gru", "attention", "gru_attention"])
def test_earlier_items_count(name):
    tower = make(name)
    assert not np.allclose(call(tower, [[1, 2]])[:, 1], call(tower, [[3, 2]])[:, 1])


@pytest.mark.parametrize("name", ["gru", "attention", "gru_attention"])
def test_order_and_repeats_count(name):
    tower = make(name)
    assert not np.allclose(call(tower, [[1, 2, 3]])[:, 2], call(tower, [[2, 1, 3]])[:, 2])
    assert not np.allclose(call(tower, [[1, 2, 2]])[:, 2], call(tower, [[1, 1, 2]])[:, 2])


def test_session_id_knows_its_session_and_nothing_else():
    tower = make("session_id")
    assert not np.allclose(call(tower, [[1]], [1]), call(tower, [[1]], [2]))
    np.testing.assert_array_equal(call(tower, [[1, 2]], [1]), call(tower, [[3, 4]], [1]))


def test_mean_by_hand():
    tower = make("mean")
    expected = [TABLE[3], (TABLE[3] + TABLE[5]) / 2, (TABLE[3] + TABLE[5] + TABLE[0]) / 3]
    np.testing.assert_allclose(call(tower, [[3, 5, 0]])[0], expected, rtol=1e-5)


def test_candidates_are_unit_vectors_if_normalized():
    tower = CandidateTower(NUM_ITEMS, 8, normalize=True)
    tower.table.assign(TABLE)
    embeddings = tower(tf.constant([3, 5, PADDING])).numpy()
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(embeddings[0], TABLE[3] / np.linalg.norm(TABLE[3]), rtol=1e-5)
    np.testing.assert_array_equal(embeddings[2], tower(tf.constant([0])).numpy()[0])


def test_gru_attention_without_its_state_stays_among_the_items_of_the_session():
    tower = make("gru_attention")
    tower.state_projection.kernel.assign(tf.zeros_like(tower.state_projection.kernel))
    np.testing.assert_allclose(call(tower, [[4, 4, 4]])[0], np.tile(TABLE[4], (3, 1)), rtol=1e-4)


def test_attention_stays_among_the_items_of_the_session():
    """The query is a convex combination of the session's item embeddings, so one item alone gives its own."""
    tower = make("attention")
    np.testing.assert_allclose(call(tower, [[4, 4, 4]])[0], np.tile(TABLE[4], (3, 1)), rtol=1e-4)


def test_attention_takes_sessions_longer_than_its_distances():
    assert np.isfinite(call(make("attention"), [list(range(1, 10)) * 3])).all()


@pytest.mark.parametrize("name", ["last_item", "mean", "gru", "attention", "gru_attention"])
def test_dropout_depends_on_its_seed_alone(name):
    tower = make(name, dropout=0.5)
    first, again, other = (call(tower, [[1, 2, 3]], seed=tf.constant([1, step])) for step in (16, 16, 32))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first, call(tower, [[1, 2, 3]]))


def test_dropout_keeps_the_mean_and_repeats_itself():
    values, seed = tf.ones([301, 101]), tf.constant([1, 2])
    dropped = dropout(values, 0.25, seed).numpy()
    assert set(np.unique(dropped)) == {0.0, np.float32(4 / 3)}
    assert dropped.mean() == pytest.approx(1.0, abs=0.02)
    np.testing.assert_array_equal(dropout(values, 0.25, seed), dropped)
    assert (dropout(values, 0.25, tf.constant([1, 3])).numpy() != dropped).any()
    assert dropout(values, 0.25, None) is values


@pytest.mark.parametrize("rate", [MIN_RATE, 0.001, 0.01, 0.2, 0.5, 0.7, 0.99, 0.999, 1 - MIN_RATE])
def test_every_dropout_rate_is_met(rate):
    """Within 2% of both shares, and 4 standard deviations of as many draws."""
    size = 4_000_000
    dropped = dropout(tf.ones([size]), rate, tf.constant([3, 4])).numpy()
    for share, expected in ((np.mean(dropped == 0), rate), (np.mean(dropped != 0), 1 - rate)):
        assert share == pytest.approx(expected, rel=0.02, abs=4 * np.sqrt(rate * (1 - rate) / size))
    scale = dropped.max()
    assert scale == pytest.approx(1 / (1 - rate), rel=0.021)
    assert set(np.unique(dropped)) == {0.0, scale}
    assert dropped.mean() == pytest.approx(1.0, abs=4 * np.sqrt(rate / (1 - rate) / size) + 1e-6)


def test_the_usual_rates_take_a_byte_a_value():
    """The draws of a training with them have been these from the start."""
    for rate, expected in ((0.2, 51), (0.5, 128), (0.1, 26), (0.3, 77)):
        words = tf.random.stateless_uniform([75], [5, 6], minval=None, maxval=None, dtype=tf.uint32)
        kept = words.numpy().view(np.uint8) >= expected
        values = np.arange(1, 301, dtype=np.float32)
        found = dropout(tf.constant(values), rate, tf.constant([5, 6])).numpy()
        np.testing.assert_array_equal(found, np.where(kept, values * np.float32(256 / (256 - expected)), 0))


@pytest.mark.parametrize("rate", [1e-12, 1 - 1e-12])
def test_a_dropout_rate_that_no_draw_resolves_is_refused(rate):
    with pytest.raises(ValueError, match=r"Expected a dropout rate of 0, or from 1e-05 to 0\.99999\. Received: "):
        dropout(tf.ones([4]), rate, tf.constant([1, 2]))


def test_unit_vectors_and_their_gradient_are_those_of_tensorflow():
    values = tf.constant(np.random.default_rng(0).normal(size=(2, 3, 4)), tf.float32)
    weights = tf.range(24, dtype=tf.float32)
    found = []
    for function in (unit, lambda each: tf.math.l2_normalize(each, axis=-1)):
        with tf.GradientTape() as tape:
            tape.watch(values)
            units = function(values)
            loss = tf.reduce_sum(tf.reshape(units, [-1]) * weights)
        found.append((units, tape.gradient(loss, values)))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(unit(tf.zeros([1, 4])), [[0.0] * 4])
