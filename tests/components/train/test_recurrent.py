import numpy as np
import pytest
import tensorflow as tf

from components.train.parameters import TrainParameters
from components.train.recurrent import Gru, make_gru
from components.train.towers import make_query_tower


def test_states_and_gradients_are_those_of_keras():
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.normal(size=(5, 7, 6)), tf.float32)
    weights = rng.normal(size=(5, 7, 4))
    ours, theirs = Gru(4), tf.keras.layers.GRU(4, return_sequences=True)
    ours(inputs), theirs(inputs)
    input_bias, state_bias = rng.normal(size=(2, 12))
    theirs.cell.bias.assign([input_bias, state_bias])
    ours.projection.kernel.assign(theirs.cell.kernel)
    ours.projection.bias.assign(input_bias + np.append(state_bias[:8], np.zeros(4)))
    ours.recurrent.assign(theirs.cell.recurrent_kernel)
    ours.bias.assign(state_bias[8:])

    def differentiate(layer, variables):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            states = layer(inputs)
            loss = tf.reduce_sum(states**2 * weights)
        return [states, *tape.gradient(loss, [inputs, *variables])]

    our_variables = [ours.projection.kernel, ours.recurrent, ours.projection.bias, ours.bias]
    their_variables = [theirs.cell.kernel, theirs.cell.recurrent_kernel, theirs.cell.bias]
    *found, input_gradient, bias_gradient = differentiate(ours, our_variables)
    *expected, bias_gradients = differentiate(theirs, their_variables)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(input_gradient, bias_gradients[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bias_gradient, bias_gradients[1][8:], rtol=1e-4, atol=1e-5)


def test_one_event_by_hand():
    gru = Gru(1)
    gru(tf.zeros([1, 1, 1]))
    gru.projection.kernel.assign([[2.0, -1.0, 0.5]])
    gru.bias.assign([0.3])
    update, reset = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(1.0))
    expected = (1 - update) * np.tanh(0.5 + reset * 0.3)
    np.testing.assert_allclose(gru(tf.ones([1, 1, 1])), [[[expected]]], rtol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_it_is_the_layer_that_cudnn_runs_and_it_computes_in_float32(monkeypatch, precision):
    parameters = TrainParameters(query_tower="gru", embedding_dim=4, precision=precision)
    assert isinstance(make_query_tower(parameters, num_items=1, num_sessions=1).gru, Gru)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    layer = make_query_tower(parameters, num_items=1, num_sessions=1).gru
    assert layer(tf.zeros([2, 3, 5], tf.bfloat16)).shape == (2, 3, 4)
    # What Keras asks of a GRU that cuDNN is to run.
    assert layer._could_use_gpu_kernel
    assert layer.compute_dtype == "float32"


def test_for_xla_it_is_ours_on_a_gpu_too(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert isinstance(make_gru(4, jit_compile=True), Gru)
