import numpy as np
import pytest
import tensorflow as tf

from components.train import loss

# Two targets, three samples:      sample 0  1  2       ids 7, 8, 9
#   query 0 -> target 1.0 (id 5)          2  0 -1
#   query 1 -> target 0.0 (id 8)          1  3  1       sample 1 is the target itself
QUERIES = tf.constant([[1.0, 0.0], [0.0, 1.0]])
POSITIVES = tf.constant([[1.0, 9.0], [9.0, 0.0]])
NEGATIVES = tf.constant([[2.0, 1.0], [0.0, 3.0], [-1.0, 1.0]])
POSITIVE_IDS = tf.constant([5, 8])
NEGATIVE_IDS = tf.constant([7, 8, 9])
NO_BONUS = {"bonus_cells": tf.zeros([0, 2], tf.int32), "bonus": tf.zeros([0])}


def test_sampled_softmax_by_hand():
    log_q = np.log([2.0, 1.0, 0.5])
    value = loss.sampled_softmax(
        QUERIES,
        POSITIVES,
        NEGATIVES,
        positive_ids=POSITIVE_IDS,
        negative_ids=NEGATIVE_IDS,
        negative_log_q=tf.constant(log_q, tf.float32),
        temperature=0.5,
    )
    first = -np.log(np.exp(2.0) / (np.exp(2.0) + np.exp(4.0) / 2 + np.exp(0.0) + np.exp(-2.0) / 0.5))
    second = -np.log(np.exp(0.0) / (np.exp(0.0) + np.exp(2.0) / 2 + np.exp(2.0) / 0.5))
    assert float(value) == pytest.approx(first + second, rel=1e-5)


def test_certain_negatives_by_hand():
    value = loss.sampled_softmax(
        QUERIES[:1],
        POSITIVES[:1],
        NEGATIVES[:1],
        positive_ids=POSITIVE_IDS[:1],
        negative_ids=NEGATIVE_IDS[:1],
        negative_log_q=tf.constant([np.log(0.25)], tf.float32),
        temperature=1.0,
        certain_logits=tf.constant([[3.0, loss.MASKED]]),
    )
    expected = -np.log(np.exp(1) / (np.exp(1) + np.exp(2) / 0.25 + np.exp(3)))
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_inclusion_probability_by_hand():
    log_q = loss.log_inclusion_probability(tf.constant([0.5, 1e-9], tf.float64), 3).numpy()
    assert log_q == pytest.approx([np.log(7 / 8), np.log(3e-9)], rel=1e-5)


def test_an_accidental_hit_has_no_share():
    with tf.GradientTape() as tape:
        tape.watch(NEGATIVES)
        value = loss.sampled_softmax(
            QUERIES[1:],
            POSITIVES[1:],
            NEGATIVES,
            positive_ids=POSITIVE_IDS[1:],
            negative_ids=NEGATIVE_IDS,
            negative_log_q=tf.zeros(3),
            temperature=1.0,
        )
    gradient = tape.gradient(value, NEGATIVES).numpy()
    assert (gradient[1] == 0).all()
    assert (gradient[[0, 2], 1] > 0).all()


def test_the_gradient_is_that_of_the_formula():
    settings = {"positive_ids": POSITIVE_IDS, "negative_ids": NEGATIVE_IDS}
    log_q = tf.constant([-1.0, -2.0, -0.5])

    def by_formula():
        logits = QUERIES @ tf.transpose(NEGATIVES) / 0.5 - log_q
        logits = tf.where(POSITIVE_IDS[:, tf.newaxis] == NEGATIVE_IDS, loss.MASKED, logits)
        positive = tf.reduce_sum(QUERIES * POSITIVES, axis=1, keepdims=True) / 0.5
        return -tf.reduce_sum(tf.nn.log_softmax(tf.concat([positive, logits], axis=1))[:, 0])

    def ours():
        return loss.sampled_softmax(QUERIES, POSITIVES, NEGATIVES, **settings, negative_log_q=log_q, temperature=0.5)

    gradients = []
    for function in (ours, by_formula):
        with tf.GradientTape() as tape:
            tape.watch([QUERIES, POSITIVES, NEGATIVES])
            value = function()
        gradients.append(tape.gradient(value, [QUERIES, POSITIVES, NEGATIVES]))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_sampling_everything_once_is_the_full_softmax():
    rng = np.random.default_rng(0)
    candidates = tf.constant(rng.normal(size=(6, 3)), tf.float32)
    queries = tf.constant(rng.normal(size=(4, 3)), tf.float32)
    positive_ids = tf.constant([1, 4, 6, 4])
    sampled = loss.sampled_softmax(
        queries,
        tf.gather(candidates, positive_ids - 1),
        candidates,
        positive_ids=positive_ids,
        negative_ids=tf.range(1, 7),
        negative_log_q=tf.zeros(6),
        temperature=0.3,
    )
    full = loss.full_softmax(queries, candidates, positive_ids=positive_ids, temperature=0.3, **NO_BONUS)
    assert float(sampled) == pytest.approx(float(full), rel=1e-5)


def test_full_softmax_by_hand():
    value = loss.full_softmax(
        tf.constant([[1.0]]), tf.constant([[0.0], [2.0]]), positive_ids=tf.constant([2]), temperature=2.0, **NO_BONUS
    )
    assert float(value) == pytest.approx(-np.log(np.exp(1) / (1 + np.exp(1))), rel=1e-6)


def test_full_softmax_with_bonuses_by_hand():
    value = loss.full_softmax(
        tf.constant([[1.0], [3.0]]),
        tf.constant([[0.0], [2.0]]),
        positive_ids=tf.constant([2, 1]),
        temperature=2.0,
        bonus_cells=tf.constant([[0, 1], [1, 1]]),
        bonus=tf.constant([0.5, -4.0]),
    )
    first = -np.log(np.exp(1.5) / (1 + np.exp(1.5)))
    second = -np.log(1 / (1 + np.exp(3 - 4)))
    assert float(value) == pytest.approx(first + second, rel=1e-6)


def test_bonuses_and_masked_samples_by_hand():
    value = loss.sampled_softmax(
        QUERIES,
        POSITIVES,
        NEGATIVES,
        positive_ids=POSITIVE_IDS,
        negative_ids=NEGATIVE_IDS,
        negative_log_q=tf.zeros(3),
        temperature=1.0,
        positive_bonus=tf.constant([0.25, 0.0]),
        certain_logits=tf.constant([[1.75], [loss.MASKED]]),
        masked=tf.constant([[0, 0], [1, 2]]),
    )
    # The first target leaves out sample 0, which is certain with a bonus of -1/4; the second leaves out sample 2, and
    # sample 1, which is the target.
    first = -np.log(np.exp(1.25) / (np.exp(1.25) + np.exp(0) + np.exp(-1) + np.exp(1.75)))
    second = -np.log(np.exp(0) / (np.exp(0) + np.exp(1)))
    assert float(value) == pytest.approx(first + second, rel=1e-5)


def sum_exponentials(temperature, is_cosine, masked=None):
    """The loss of vectors of length 1 and its gradients."""
    angles = tf.constant([0.0, 0.7, 2.0, 3.1])
    queries, positives, negatives = (tf.stack([tf.cos(a), tf.sin(a)], 1) for a in (angles, angles + 0.1, angles + 0.3))
    with tf.GradientTape() as tape:
        tape.watch([queries, negatives])
        value = loss.sampled_softmax(
            queries,
            positives,
            negatives,
            positive_ids=tf.range(1, 5),
            negative_ids=tf.constant([2, 5, 6, 7]),
            negative_log_q=tf.math.log(tf.constant([1e-7, 0.5, 1.0, 1e-3])),
            temperature=temperature,
            masked=masked,
            is_cosine=is_cosine,
        )
    return [value, *tape.gradient(value, [queries, negatives])]


WHOLE_ROW = [[0, 0], [0, 1], [0, 2], [0, 3], [2, 1]]


@pytest.mark.parametrize("temperature", [0.08, 1 / loss.MAX_BOUND, 0.005, 1e-5])
@pytest.mark.parametrize("masked", [None, WHOLE_ROW], ids=["none masked", "one row masked"])
def test_bounded_logits_need_no_maximum(temperature, masked):
    masked = None if masked is None else tf.constant(masked)
    for one, other in zip(*(sum_exponentials(temperature, each, masked) for each in (True, False)), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_bpr_max_by_hand():
    value = loss.bpr_max(
        QUERIES,
        POSITIVES,
        NEGATIVES,
        positive_ids=POSITIVE_IDS,
        negative_ids=NEGATIVE_IDS,
        regularization=0.5,
    )

    def by_hand(target, negatives):
        scores = np.array(negatives)
        share = np.exp(scores) / np.exp(scores).sum()
        wins = 1 / (1 + np.exp(scores - target))
        return -np.log((share * wins).sum()) + 0.5 * (share * scores**2).sum()

    assert float(value) == pytest.approx(by_hand(1.0, [2, 0, -1]) + by_hand(0.0, [1, 1]), rel=1e-5)


def test_distribution_by_hand():
    probability = loss.sampling_distribution(np.array([16, 1]), 0.75).numpy()
    assert probability == pytest.approx([8 / 9, 1 / 9])


def test_samples_follow_the_distribution():
    cumulative = tf.cumsum(tf.constant([0.5, 0.3, 0.2], tf.float64))
    drawn = loss.sample_items(cumulative, 20_000, tf.constant([1, 2])).numpy()
    assert np.bincount(drawn, minlength=4)[1:] / 20_000 == pytest.approx([0.5, 0.3, 0.2], abs=0.015)
    assert (drawn == loss.sample_items(cumulative, 20_000, tf.constant([1, 2])).numpy()).all()
