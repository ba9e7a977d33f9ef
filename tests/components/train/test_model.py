import numpy as np
import pytest
import tensorflow as tf
from loss_inputs import make_inputs

from components.core.sequences import PADDING
from components.train import recurrent
from components.train.loss import MASKED
from components.train.model import TwoTower, _append_target
from components.train.objectives import make_session_logits
from components.train.parameters import TrainParameters
from components.train.pointer import NUM_FEATURES
from components.train.towers import QUERY_TOWERS


@pytest.fixture(params=["attention", "gru_attention"])
def model(request):
    parameters = TrainParameters(query_tower=request.param, embedding_dim=8, temperature=0.5)
    return TwoTower(parameters, counts=np.array([5, 4, 3, 2, 1]), num_sessions=2)


def test_a_sessions_own_items_are_negatives_once_each(model):
    items = tf.constant([[1, 2, 1], [3, PADDING, PADDING]])
    targets = tf.constant([[2, 1, 4], [5, PADDING, PADDING]])
    queries = model.embed_queries(tf.zeros(2, tf.int32), items)
    sequence = _append_target(items, targets)
    assert sequence.numpy().tolist() == [[1, 2, 1, 4], [3, 5, PADDING, PADDING]]
    inputs = make_inputs(
        sequence.numpy(),
        targets.numpy(),
        queries=queries,
        embeddings=model.candidate_tower(sequence),
        temperature=0.5,
    )
    logits = make_session_logits(inputs).numpy()
    share = np.where(logits == MASKED, 0.0, np.exp(logits))
    scores = np.exp((queries @ tf.transpose(model.embed_candidates())).numpy() / 0.5)  # column i: index i + 1
    # Session 1 holds 1, 2 and 4. At each position all but the target are negatives, and 1, which comes twice, once.
    for position, negatives in enumerate([[1, 4], [2, 4], [1, 2]]):
        expected = sum(scores[0, position, item - 1] for item in negatives)
        assert share[0, position].sum() == pytest.approx(expected, rel=1e-5)
    assert share[1, 0].sum() == pytest.approx(scores[1, 0, 3 - 1], rel=1e-5)


def of(name, **settings):
    """A model of five items that has been through a step's trace, and its queries of two sessions."""
    tf.keras.utils.set_random_seed(0)
    loss = "in_batch" if name == "session_id" else "sampled"
    parameters = TrainParameters(
        query_tower=name,
        embedding_dim=8,
        dropout=0.0,
        input_dropout=0.0,
        **{"loss": loss, "pointer": loss == "sampled"} | settings,
    )
    return TwoTower(parameters, counts=np.array([5, 4, 3, 2, 1]), num_sessions=2)


@pytest.mark.parametrize("name", QUERY_TOWERS)
def test_in_bfloat16_variables_and_queries_are_float32_and_about_the_same(name):
    session, items = tf.zeros(2, tf.int32), tf.constant([[1, 2, 1], [3, PADDING, PADDING]])
    expected = of(name).embed_queries(session, items)
    model = of(name, precision="bfloat16")
    queries = model.embed_queries(session, items)
    assert queries.dtype == tf.float32
    assert {variable.dtype for variable in model.trainable_variables} == {tf.float32}
    assert model.query_tower.compute_dtype == "bfloat16"
    assert not np.array_equal(queries[0], expected[0])
    # A bfloat16 has 8 significant bits.
    np.testing.assert_allclose(queries[0], expected[0], atol=0.05)
    assert tf.keras.mixed_precision.global_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "has_gpu"), [("gru_attention", False), ("gru_attention", True), ("attention", False)])
def test_compiled_with_xla_a_step_is_the_same(name, has_gpu, monkeypatch):
    inputs = {
        "session": tf.zeros(2, tf.int32),
        "items": tf.constant([[1, 2, 1], [3, PADDING, PADDING]]),
        "targets": tf.constant([[2, 1, 4], [5, PADDING, PADDING]]),
    }

    def step(jit_compile):
        monkeypatch.setattr(recurrent, "has_gpu", lambda: has_gpu and jit_compile)
        model = of(name, jit_compile=jit_compile)
        model.compile(optimizer="sgd")

        @tf.function
        def differentiate():
            with tf.GradientTape() as tape:
                loss = model.compute_loss(inputs, training=True)
            gradients = tape.gradient(loss, model.query_tower.trainable_variables)
            return [loss, *map(tf.convert_to_tensor, gradients)]

        functions = differentiate.get_concrete_function().graph.as_graph_def().library.function
        assert any(function.attr["_XlaMustCompile"].b for function in functions) == jit_compile
        return differentiate()

    for mine, other in zip(step(True), step(False), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)


def test_a_query_is_that_of_the_last_position(model):
    items = tf.constant([[1, 2, 1], [4, PADDING, PADDING]])
    model.pointer.serve(np.linspace(-1.0, 1.0, NUM_FEATURES, dtype=np.float32))
    every, _, bonuses = model.score_positions(tf.zeros(2, tf.int32), items)
    last, bonus = model.query(tf.zeros(2, tf.int32), items)
    np.testing.assert_allclose(last, [every[0, 2], every[1, 0]], rtol=1e-5)
    np.testing.assert_allclose(bonus, [bonuses[0, 2], bonuses[1, 0]], rtol=1e-4, atol=1e-6)
    assert (bonus.numpy() != 0).tolist() == [[False, True, True], [True, False, False]]


BATCH = {
    "session": tf.zeros(3, tf.int32),
    "items": tf.constant([[1, 2, 1, 0], [3, PADDING, PADDING, PADDING], [0, 2, 2, 5]]),
    "targets": tf.constant([[2, 1, 0, 4], [5, PADDING, PADDING, PADDING], [2, 2, 5, 2]]),
}


def test_the_full_loss_is_that_of_the_scores_that_are_served():
    model = of("gru_attention", loss="full", mask_rate=0.0)
    model.compile(optimizer="sgd")
    weights = np.random.default_rng(0).normal(size=NUM_FEATURES).astype(np.float32)
    model.pointer.trained.assign(weights)
    model.pointer.serve(weights)
    candidates = model.embed_candidates().numpy()
    expected = 0.0
    for items, targets in zip(BATCH["items"].numpy(), BATCH["targets"].numpy(), strict=True):
        for position in np.flatnonzero(targets > 0):
            prefix = items[: position + 1]
            query, bonus = model.query(tf.zeros(1, tf.int32), tf.constant([prefix]))
            scores = candidates @ query.numpy()[0]
            for item, more in zip(prefix, bonus.numpy()[0], strict=True):
                if item > 0:
                    scores[item - 1] += more
            logits = scores.astype(np.float64) / model.parameters.temperature
            expected += np.logaddexp.reduce(logits) - logits[targets[position] - 1]
    assert float(model.compute_loss(BATCH, training=True)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", ["sampled", "full"])
def test_the_pointer_and_both_towers_are_trained(loss):
    model = of("gru_attention", loss=loss, num_negatives=4, successor_half_count=1.0)
    model.compile(optimizer="sgd")
    with tf.GradientTape() as tape:
        value = model.compute_loss(BATCH, training=True)
    names = [variable.name for variable in model.trainable_variables]
    assert "pointer:0" in names
    for name, gradient in zip(names, tape.gradient(value, model.trainable_variables), strict=True):
        gradient = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(gradient).all(), name
        assert gradient.any(), name


def test_without_a_pointer_the_bonus_is_0_everywhere():
    model = of("mean", pointer=False)
    items = tf.constant([[1, 2, 1, 0], [3, PADDING, PADDING, PADDING]])
    _, bonus = model.query(tf.zeros(2, tf.int32), items)
    assert bonus.shape == (2, 4)
    assert not bonus.numpy().any()
    _, _, bonuses = model.score_positions(tf.zeros(2, tf.int32), items)
    assert bonuses.shape == (2, 4, 4)
    assert not bonuses.numpy().any()
    assert not [variable.name for variable in model.variables if "pointer" in variable.name]


def test_the_trend_is_added_to_the_logits():
    def make(trend):
        tf.keras.utils.set_random_seed(0)
        parameters = TrainParameters(query_tower="mean", embedding_dim=8, temperature=0.5)
        return TwoTower(parameters, counts=np.ones(3), num_sessions=0, trend=trend)

    def logits(model):
        query, _ = model.query(tf.zeros(1, tf.int32), tf.constant([[2]]))
        return (query @ tf.transpose(model.embed_candidates())).numpy()[0] / 0.5

    trend = np.array([1.0, -2.0, 0.5], np.float32)
    np.testing.assert_allclose(logits(make(trend)), logits(make(None)) + trend, rtol=1e-5)
    assert make(trend).embed_items(tf.constant([0]))[0, -1] == 0.0
