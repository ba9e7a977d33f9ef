import numpy as np
import pytest
import tensorflow as tf

from components.core.sequences import PADDING
from components.train.objectives import SAMPLING_EXPONENT, LossInputs, make_loss
from components.train.parameters import TrainParameters

NUM_ITEMS = 12
TEMPERATURE = 0.5
COUNTS = np.array([40, 30, 20, 10, 8, 6, 5, 4, 3, 2, 1, 1])
CANDIDATES = np.random.default_rng(0).normal(size=(NUM_ITEMS, 4)).astype(np.float32)
QUERY = np.random.default_rng(1).normal(size=4).astype(np.float32)


def embed(items):
    return tf.gather(CANDIDATES, tf.maximum(items - 1, 0))


def one_target(items, target, seed):
    """A session of which only the last position is scored."""
    return LossInputs(
        queries=tf.constant(np.tile(QUERY, (1, len(items), 1))),
        targets=tf.constant([[PADDING] * (len(items) - 1) + [target]]),
        sequence=tf.constant([[*items, target]]),
        sequence_embeddings=embed(tf.constant([[*items, target]])),
        seed=tf.convert_to_tensor(seed, tf.int32),
    )


@pytest.mark.parametrize("correct_sampling", [True, False])
@pytest.mark.parametrize("session_negatives", [True, False])
def test_the_sampled_softmax_has_the_partition_function_that_it_states(correct_sampling, session_negatives):
    """Against sums over the catalogue in NumPy, on average over many draws."""
    items, target, num_negatives = [2, 7, 2, 11], 5, 6
    parameters = TrainParameters(
        temperature=TEMPERATURE,
        num_negatives=num_negatives,
        correct_sampling=correct_sampling,
        session_negatives=session_negatives,
    )
    loss = make_loss(parameters, counts=COUNTS, candidate_tower=embed)

    score = CANDIDATES @ QUERY / TEMPERATURE

    @tf.function
    def draw(numbers):
        return tf.map_fn(
            lambda number: loss(one_target(items, target, tf.stack([7, number]))),
            numbers,
            fn_output_signature=tf.float32,
        )

    found = np.exp(draw(tf.range(4_000)).numpy() + score[target - 1])
    exponential = np.exp(score)
    is_other = np.arange(1, NUM_ITEMS + 1) != target
    is_in_session = np.isin(np.arange(1, NUM_ITEMS + 1), items)
    q = COUNTS**SAMPLING_EXPONENT / (COUNTS**SAMPLING_EXPONENT).sum()
    weight = 1.0 if correct_sampling else 1 - (1 - q) ** num_negatives
    expected = exponential[target - 1] + (weight * exponential)[is_other].sum()
    if session_negatives:
        expected += exponential[is_in_session].sum()  # the second time: items 2, 7 and 11 have been in the sum before
    error = found.std() / np.sqrt(len(found))
    assert found.mean() == pytest.approx(expected, abs=4 * error)
    # Neither of the sums that it might be taken for is within the error.
    assert 8 * error < exponential[is_in_session].sum()


def test_the_full_softmax_has_that_of_the_catalogue():
    loss = make_loss(TrainParameters(loss="full", temperature=TEMPERATURE), counts=COUNTS, candidate_tower=embed)
    score = CANDIDATES @ QUERY / TEMPERATURE
    value = loss(one_target([2, 7], 5, [0, 0]))
    assert float(value) == pytest.approx(np.log(np.exp(score).sum()) - score[4], rel=1e-5)


@pytest.mark.parametrize("name", ["sampled", "bpr_max", "full", "in_batch"])
def test_positions_without_a_known_target_count_for_nothing(name):
    loss = make_loss(TrainParameters(loss=name), counts=COUNTS, candidate_tower=embed)
    scored, longer = one_target([2, 7], 5, [3, 1]), one_target([2, 7, 9, 1], 5, [3, 1])
    alone = LossInputs(**{**vars(scored), "targets": tf.constant([[7, 5]])})
    both = LossInputs(
        queries=tf.repeat(alone.queries, 2, axis=0),
        targets=tf.constant([[7, 5], [0, PADDING]]),
        sequence=tf.repeat(alone.sequence, 2, axis=0),
        sequence_embeddings=tf.repeat(alone.sequence_embeddings, 2, axis=0),
        seed=alone.seed,
    )
    assert float(loss(both)) == pytest.approx(float(loss(alone)), rel=1e-5)
    assert longer.select(longer.targets).shape == (1,)
