import numpy as np
import pytest
import tensorflow as tf

from components.core.sequences import PADDING
from components.train.loss import MASKED
from components.train.model import TwoTower, _append_target
from components.train.objectives import LossInputs, make_session_logits
from components.train.parameters import TrainParameters
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
    inputs = LossInputs(
        queries=queries,
        targets=targets,
        sequence=sequence,
        sequence_embeddings=model.candidate_tower(sequence),
        seed=tf.zeros(2, tf.int32),
    )
    logits = make_session_logits(inputs, temperature=0.5).numpy()
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
        query_tower=name, embedding_dim=8, loss=loss, dropout=0.0, input_dropout=0.0, **settings
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
@pytest.mark.parametrize("name", ["gru_attention", "attention"])
def test_compiled_with_xla_a_step_is_the_same(name):
    inputs = {
        "session": tf.zeros(2, tf.int32),
        "items": tf.constant([[1, 2, 1], [3, PADDING, PADDING]]),
        "targets": tf.constant([[2, 1, 4], [5, PADDING, PADDING]]),
    }

    def step(jit_compile):
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


def test_embed_last_is_the_last_position(model):
    items = tf.constant([[1, 2, 3], [4, PADDING, PADDING]])
    every = model.embed_queries(tf.zeros(2, tf.int32), items).numpy()
    last = model.embed_last(tf.zeros(2, tf.int32), items).numpy()
    np.testing.assert_allclose(last, [every[0, 2], every[1, 0]], rtol=1e-5)


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
