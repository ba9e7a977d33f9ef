import numpy as np
import pytest
import tensorflow as tf
from loss_inputs import make_inputs

from components.core.sequences import PADDING
from components.train.loss import MASKED
from components.train.objectives import SAMPLING_EXPONENT, find_sampled, make_loss, make_session_logits
from components.train.parameters import TrainParameters

NUM_ITEMS = 12
TEMPERATURE = 0.5
COUNTS = np.array([40, 30, 20, 10, 8, 6, 5, 4, 3, 2, 1, 1])
CANDIDATES = np.random.default_rng(0).normal(size=(NUM_ITEMS, 4)).astype(np.float32)
QUERY = np.random.default_rng(1).normal(size=4).astype(np.float32)
SCORE = CANDIDATES @ QUERY / TEMPERATURE


def embed(items):
    return tf.gather(CANDIDATES, tf.maximum(items - 1, 0))


def one_target(sequence, position, seed, *, with_pointer=False):
    """A session of which only one position is scored; the bonus of an own item is a tenth of its index."""
    targets = [PADDING] * (len(sequence) - 1)
    targets[position] = sequence[position + 1]
    length = len(sequence) - 1
    bonus = np.broadcast_to(np.array(sequence[:-1]) / 10, (1, length, length)) if with_pointer else None
    return make_inputs(
        np.array([sequence]),
        np.array([targets]),
        queries=tf.constant(np.tile(QUERY, (1, length, 1))),
        embeddings=embed(tf.constant([sequence])),
        temperature=TEMPERATURE,
        bonus=bonus,
        seed=seed,
    )


def split(sequence, position):
    """The target, the known items that the query has seen, and those that come later; neither includes the target."""
    target = sequence[position + 1]
    seen = {item for item in sequence[: position + 1] if item > 0}
    return target, seen, {item for item in sequence[position + 2 :] if item > 0} - seen - {target}


# Of all sequences the position to score: at the end, in the middle with seen and new items to come, with a target that
# the query has seen, and with an unknown item.
CASES = [([2, 7, 2, 11, 5], 3), ([2, 7, 5, 2, 11, 5, 11], 1), ([5, 7, 5, 2, 11], 1), ([2, 0, 7, 0, 9, 1], 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("session_negatives", "with_pointer"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("correct_sampling", [True, False])
@pytest.mark.parametrize(("sequence", "position"), CASES)
def test_the_sampled_softmax_has_the_partition_function_that_it_states(
    sequence, position, correct_sampling, session_negatives, with_pointer
):
    """Against sums over the catalogue in NumPy, on average over many draws."""
    num_negatives = 6
    parameters = TrainParameters(
        temperature=TEMPERATURE,
        num_negatives=num_negatives,
        correct_sampling=correct_sampling,
        session_negatives=session_negatives,
        pointer=with_pointer,
    )
    loss = make_loss(parameters, counts=COUNTS, candidate_tower=embed)

    @tf.function
    def draw(numbers):
        return tf.map_fn(
            lambda number: loss(one_target(sequence, position, tf.stack([7, number]), with_pointer=with_pointer)),
            numbers,
            fn_output_signature=tf.float32,
        )

    target, seen, later = split(sequence, position)
    items = np.arange(1, NUM_ITEMS + 1)
    is_own = np.isin(items, sorted(seen))
    logit = SCORE + (is_own * items / 10 if with_pointer else 0.0)
    found = np.exp(draw(tf.range(2_000)).numpy() + logit[target - 1])
    q = COUNTS**SAMPLING_EXPONENT / (COUNTS**SAMPLING_EXPONENT).sum()
    weight = np.ones(NUM_ITEMS) if correct_sampling else 1 - (1 - q) ** num_negatives
    if session_negatives:
        weight[is_own] = 1.0  # instead of the sampled term
        weight[np.isin(items, sorted(later))] += 1.0  # beside the sampled term
    weight[target - 1] = 1.0
    terms = weight * np.exp(logit)
    error = found.std() / np.sqrt(len(found))
    assert found.mean() == pytest.approx(terms.sum(), abs=4 * error + 1e-4 * terms.sum())


@pytest.mark.slow
def test_the_error_of_that_test_is_smaller_than_what_it_tells_apart():
    parameters = TrainParameters(temperature=TEMPERATURE, num_negatives=6, pointer=False)
    loss = make_loss(parameters, counts=COUNTS, candidate_tower=embed)
    sequence, position = CASES[0]
    found = [np.exp(float(loss(one_target(sequence, position, [7, number])))) for number in range(200)]
    error = np.std(found) * np.exp(SCORE[sequence[position + 1] - 1]) / np.sqrt(2_000)
    _, seen, _ = split(sequence, position)
    assert 8 * error < sum(np.exp(SCORE[item - 1]) for item in seen)


@pytest.mark.parametrize(("sequence", "position"), CASES)
@pytest.mark.parametrize("with_pointer", [True, False])
def test_the_full_softmax_is_that_of_the_catalogue(sequence, position, with_pointer):
    loss = make_loss(
        TrainParameters(loss="full", temperature=TEMPERATURE, pointer=with_pointer),
        counts=COUNTS,
        candidate_tower=embed,
    )
    target, seen, _ = split(sequence, position)
    logit = SCORE.astype(np.float64)
    for item in seen if with_pointer else ():
        logit[item - 1] += item / 10
    value = loss(one_target(sequence, position, [0, 0], with_pointer=with_pointer))
    assert float(value) == pytest.approx(np.log(np.exp(logit).sum()) - logit[target - 1], rel=1e-5)


@pytest.mark.parametrize("with_pointer", [True, False])
def test_a_sample_of_everything_is_the_full_softmax(with_pointer):
    """Where no item of the session comes later; those would count twice."""
    sequence, position = CASES[2][0][:3], 1
    assert split(sequence, position)[2] == set()
    settings = {"temperature": TEMPERATURE, "pointer": with_pointer}
    sampled = make_loss(
        TrainParameters(loss="sampled", num_negatives=5_000, correct_sampling=False, **settings),
        counts=COUNTS,
        candidate_tower=embed,
    )
    assert sampled.sampler.draw(tf.constant([0, 0])).shape == (NUM_ITEMS,)
    full = make_loss(TrainParameters(loss="full", **settings), counts=COUNTS, candidate_tower=embed)
    inputs = one_target(sequence, position, [0, 0], with_pointer=with_pointer)
    assert float(sampled(inputs)) == pytest.approx(float(full(inputs)), rel=1e-5)


def test_samples_that_the_query_has_seen_are_found():
    inputs = make_inputs(
        np.array([[2, 7, 2, 9, 4], [3, 0, 7, PADDING, PADDING]]),
        np.array([[7, 2, 9, 4], [0, 7, PADDING, PADDING]]),
        queries=tf.zeros([2, 4, 1]),
        embeddings=tf.zeros([2, 5, 1]),
        temperature=1.0,
    )
    found = find_sampled(inputs, tf.constant([2, 3, 9, 10]))
    # Targets: four of the first session; 7 after 3 and an unknown item, in the second.
    assert sorted(map(tuple, found.numpy().tolist())) == [(0, 0), (1, 0), (2, 0), (3, 0), (3, 2), (4, 1)]


def test_session_logits_include_the_bonus_of_what_was_seen():
    logits = make_session_logits(one_target([2, 7, 5, 2, 11, 5, 11], 1, [0, 0], with_pointer=True)).numpy()[0, 1]
    # 2 and 7 have been seen; 5 is the target; 2 comes again, 11 comes at place 4.
    expected = [SCORE[1] + 0.2, SCORE[6] + 0.7, MASKED, MASKED, SCORE[10], MASKED, MASKED]
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["sampled", "bpr_max", "full", "in_batch"])
def test_positions_without_a_known_target_count_for_nothing(name):
    has_pointer = name in ("sampled", "full")
    loss = make_loss(TrainParameters(loss=name, pointer=has_pointer), counts=COUNTS, candidate_tower=embed)

    def make(sequence, targets):
        length = targets.shape[1]
        return make_inputs(
            sequence,
            targets,
            queries=tf.constant(np.tile(QUERY, (len(sequence), length, 1))),
            embeddings=embed(tf.constant(sequence)),
            temperature=0.08,
            bonus=np.full((len(sequence), length, length), 0.3) if has_pointer else None,
            seed=[3, 1],
        )

    alone = make(np.array([[2, 7, 5]]), np.array([[7, 5]]))
    both = make(np.array([[2, 7, 5], [2, 0, PADDING]]), np.array([[7, 5], [0, PADDING]]))
    assert float(loss(both)) == pytest.approx(float(loss(alone)), rel=1e-5)
    longer = one_target([2, 7, 9, 1, 5], 3, [3, 1])
    assert longer.select(longer.targets).shape == (1,)
