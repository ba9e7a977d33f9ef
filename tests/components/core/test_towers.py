import numpy as np
import pytest
import tensorflow as tf

from components.core.parameters import QUERY_TOWERS, TrainParameters
from components.core.sequences import PADDING
from components.core.towers import CandidateTower, DecayTower, make_query_tower

NUM_ITEMS = 9


@pytest.fixture(params=QUERY_TOWERS)
def tower(request):
    return make(request.param)


def make(name: str, dropout: float = 0.0):
    tf.keras.utils.set_random_seed(0)
    parameters = TrainParameters(query_tower=name, loss="in_batch", dropout=dropout, max_session_length=6)
    made = make_query_tower(name, parameters, embedding_dim=8, num_items=NUM_ITEMS, num_sessions=3)
    # Larger weights than a fresh tower has, so that differences show.
    call(made, [[1, 2]])
    rng = np.random.default_rng(0)
    for weight in made.weights:
        weight.assign(rng.normal(size=weight.shape))
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


@pytest.mark.parametrize("name", ["last_item", "mean", "gru", "attention", "decay"])
def test_the_newest_item_counts(name):
    tower = make(name)
    assert not np.allclose(call(tower, [[1, 2]])[:, 1], call(tower, [[1, 3]])[:, 1])


@pytest.mark.parametrize("name", ["mean", "gru", "attention", "decay"])
def test_earlier_items_count(name):
    tower = make(name)
    assert not np.allclose(call(tower, [[1, 2]])[:, 1], call(tower, [[3, 2]])[:, 1])


@pytest.mark.parametrize("name", ["gru", "attention", "decay"])
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


def test_decay_starts_as_the_mean_of_means_that_forget_at_its_rates():
    tower = DecayTower(8, dropout=0.0)
    call(tower, [[1]])
    tower.output_projection.kernel.assign(tf.zeros_like(tower.output_projection.kernel))
    newest, half, slow, all_alike = [0, 0, 1], [0.25, 0.5, 1], [0.64, 0.8, 1], [1, 1, 1]
    weights = np.mean([np.divide(each, np.sum(each)) for each in (newest, half, slow, all_alike)], axis=0)
    np.testing.assert_allclose(call(tower, [[3, 5, 7]])[0, 2], weights @ TABLE[[3, 5, 7]], rtol=1e-5)


def test_joined_parts_are_unit_vectors_whose_product_is_the_mean_of_the_cosines():
    tower = CandidateTower(NUM_ITEMS, 8, normalize=True, num_parts=2)
    tower.table.assign(TABLE)
    first, second = tower(tf.constant([3, 5])).numpy()

    def cosine(one, other):
        return one @ other / np.linalg.norm(one) / np.linalg.norm(other)

    expected = (cosine(TABLE[3, :4], TABLE[5, :4]) + cosine(TABLE[3, 4:], TABLE[5, 4:])) / 2
    assert first @ second == pytest.approx(expected, rel=1e-5)
    assert np.linalg.norm(first) == pytest.approx(1.0, rel=1e-5)


def test_attention_stays_among_the_items_of_the_session():
    """The query is a convex combination of the session's item embeddings, so one item alone gives its own."""
    tower = make("attention")
    np.testing.assert_allclose(call(tower, [[4, 4, 4]])[0], np.tile(TABLE[4], (3, 1)), rtol=1e-4)


def test_attention_takes_sessions_longer_than_its_distances():
    assert np.isfinite(call(make("attention"), [list(range(1, 10)) * 3])).all()


@pytest.mark.parametrize("name", ["last_item", "mean", "gru", "attention", "decay"])
def test_dropout_depends_on_its_seed_alone(name):
    tower = make(name, dropout=0.5)
    first, again, other = (call(tower, [[1, 2, 3]], seed=tf.constant([1, step])) for step in (16, 16, 32))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first, call(tower, [[1, 2, 3]]))
