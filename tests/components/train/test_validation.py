import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from components.core.sequences import Sessions
from components.train import validation
from components.train.calibration import PRECISION
from components.train.model import TwoTower
from components.train.parameters import TrainParameters
from components.train.pointer import NUM_FEATURES, own_features, own_items_of_sessions
from components.train.validation import calibrate, validate

NUM_ITEMS = 15


def make(**settings):
    tf.keras.utils.set_random_seed(0)
    parameters = TrainParameters(
        query_tower="gru_attention", embedding_dim=8, max_session_length=16, temperature=0.3, **settings
    )
    trend = np.linspace(-0.5, 0.5, NUM_ITEMS, dtype=np.float32)
    model = TwoTower(parameters, counts=np.arange(NUM_ITEMS, 0, -1), num_sessions=1, trend=trend)
    model.build_variables()
    if model.pointer is not None:
        model.pointer.trained.assign(0.3 * np.random.default_rng(0).normal(size=NUM_FEATURES))
    return model


def draw(num_sessions=60, lowest=0, highest=NUM_ITEMS):
    """Sessions of 1 to 10 events; half of the events repeat an earlier one, and some items are unknown."""
    rng = np.random.default_rng(1)
    sessions = []
    for _ in range(num_sessions):
        session = []
        for _ in range(rng.integers(1, 11)):
            again = session and rng.random() < 0.5
            session.append(int(rng.choice(session) if again else rng.integers(lowest, highest + 1)))
        sessions.append(session)
    return Sessions(
        session_ids=pa.array([str(number) for number in range(num_sessions)]),
        items=np.concatenate(sessions).astype(np.int32),
        offsets=np.append(0, np.cumsum([len(each) for each in sessions])),
    )


def prefixes(sessions):
    for begin, end in zip(sessions.offsets, sessions.offsets[1:], strict=False):
        for event in range(begin + 1, end):
            yield sessions.items[begin:event], sessions.items[event]


@pytest.mark.parametrize("settings", [{}, {"pointer": False}])
def test_metrics_are_those_of_all_scores(settings):
    model, sessions = make(**settings), draw()
    found = validate(model, sessions, (1, 5))
    candidates = model.embed_candidates().numpy()
    ranks, num_bonuses = [], 0
    for prefix, target in prefixes(sessions):
        query, bonus = model.query(tf.zeros(1, tf.int32), tf.constant([prefix]))
        scores = candidates @ query.numpy()[0]
        np.add.at(scores, prefix[prefix > 0] - 1, bonus.numpy()[0, prefix > 0])
        num_bonuses += np.count_nonzero(bonus)
        ranks.append((scores >= scores[target - 1] - 1e-6).sum() if target else np.inf)
    ranks = np.array(ranks)
    assert (num_bonuses > 0) == model.parameters.pointer
    assert found["recall@1"] == pytest.approx((ranks <= 1).mean())
    assert found["recall@5"] == pytest.approx((ranks <= 5).mean())
    assert found["mrr@5"] == pytest.approx(np.where(ranks <= 5, 1 / ranks, 0.0).mean())


def negative_log_posterior(model, sessions):
    """As a function of the weights: the softmax over the whole catalogue, prefix by prefix, in float64."""
    candidates = model.embed_candidates().numpy().astype(np.float64)
    parts = []
    for prefix, target in prefixes(sessions):
        if target:
            query = model.query(tf.zeros(1, tf.int32), tf.constant([prefix]))[0].numpy()[0]
            logits = candidates @ query / model.parameters.temperature
            own = own_items_of_sessions(tf.constant([prefix]), tf.constant([len(prefix)]))
            of_places = np.where(prefix > 0, logits[np.maximum(prefix, 1) - 1], 0.0).astype(np.float32)
            features = np.zeros((NUM_ITEMS, NUM_FEATURES))
            places = np.flatnonzero(own.is_own[0])
            features[prefix[places] - 1] = own_features(tf.constant([of_places]), own).numpy()[0, places]
            parts.append((logits, features, target - 1))
    trained = model.pointer.trained.numpy()

    def value(weights):
        total = 0.5 * PRECISION * ((weights - trained) ** 2).sum()
        for logits, features, target in parts:
            biased = logits + features @ weights
            total += np.logaddexp.reduce(biased) - biased[target]
        return total

    return value


@pytest.mark.slow
def test_the_pointer_is_fitted_to_the_softmax_of_the_catalogue():
    model, sessions = make(), draw()
    calibrate(model, model.pointer, sessions)
    served = model.pointer.served.numpy().astype(np.float64)
    value = negative_log_posterior(model, sessions)
    lowest = value(served)
    assert lowest < value(model.pointer.trained.numpy())
    assert lowest < value(np.zeros(NUM_FEATURES))
    for step in 0.05 * np.random.default_rng(2).normal(size=(20, NUM_FEATURES)):
        assert value(served + step) > lowest


def test_the_fit_changes_what_is_served_and_not_what_is_trained():
    model, sessions = make(), draw()
    before = model.pointer.trained.numpy()
    validate(model, sessions, (1,))
    np.testing.assert_array_equal(model.pointer.trained, before)
    assert not np.allclose(model.pointer.served, before, atol=0.1)


def test_a_part_of_many_sessions_is_enough(monkeypatch):
    model, sessions = make(), draw(num_sessions=200)
    calibrate(model, model.pointer, sessions)
    whole = model.pointer.served.numpy()
    monkeypatch.setattr(validation, "BATCH_SIZE", 50)
    calibrate(model, model.pointer, sessions)
    np.testing.assert_allclose(model.pointer.served, whole, atol=1e-3)  # in other batches
    monkeypatch.setattr(validation, "MAX_TARGETS", 700)
    calibrate(model, model.pointer, sessions)
    part = model.pointer.served.numpy()
    assert np.isfinite(part).all()
    assert not np.allclose(part, whole, atol=1e-3)
    np.testing.assert_allclose(part, whole, atol=1.0)
    calibrate(model, model.pointer, sessions)
    np.testing.assert_array_equal(model.pointer.served, part)  # the same part again


def test_without_a_known_target_what_was_learned_is_served():
    model, sessions = make(), draw(highest=0)
    assert not sessions.items.any()
    assert set(validate(model, sessions, (1, 20)).values()) == {0.0}
    np.testing.assert_array_equal(model.pointer.served, model.pointer.trained)
