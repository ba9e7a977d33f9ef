"""The GRU of the query towers: cuDNN's or ours."""

from collections.abc import Callable

import tensorflow as tf

from components.train.distribution import has_gpu


def make_gru(units: int, *, jit_compile: bool) -> tf.keras.layers.Layer:
    """Creates a GRU, [batch_size, length, input_dim] -> [batch_size, length, units].

    Args:
        units: dimension of the states.
        jit_compile: whether XLA compiles the training step.

    Returns:
        Keras' GRU, which runs on cuDNN, if there is a GPU and no XLA; otherwise `Gru`. XLA cannot compile a training
        step of Keras' GRU: its loop passes lists of tensors from the forward to the backward computation.
    """
    if has_gpu() and not jit_compile:
        # In bfloat16, training on cuDNN's GRU ends in NaN (TensorFlow 2.20, cuDNN 9.28).
        return tf.keras.layers.GRU(units, return_sequences=True, dtype="float32")
    return Gru(units)


class Gru(tf.keras.layers.Layer):
    """A gated recurrent unit (Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder").

    Computes the same function as Keras' GRU with `reset_after=True`, which applies the reset gate after the product:

        z = sigmoid(x W_z + h U_z + b_z)
        r = sigmoid(x W_r + h U_r + b_r)
        c = tanh(x W_c + b_c + r * (h U_c + d))
        h' = z * h + (1 - z) * c

    Keras computes the input product and accumulates the gradients of both matrices step by step. Here each forward or
    backward step computes only the product with the state; the rest is one matrix product over all steps.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units
        self.projection = tf.keras.layers.Dense(3 * units)
        self.recurrent = self.add_weight(name="recurrent", shape=(units, 3 * units), initializer="orthogonal")
        self.bias = self.add_weight(name="candidate_bias", shape=(units,), initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps inputs [batch_size, length, input_dim] to states [batch_size, length, units]; the initial state is 0."""
        projected = self.projection(tf.transpose(inputs, [1, 0, 2]))
        states = _states(projected, tf.convert_to_tensor(self.recurrent), tf.convert_to_tensor(self.bias))
        return tf.transpose(states, [1, 0, 2])


@tf.custom_gradient
def _states(
    projected: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]]:
    """Computes states [length, batch_size, units] from x W + b, [length, batch_size, 3 * units]."""
    units = recurrent.shape[0]
    length = tf.shape(projected)[0]
    nothing = tf.zeros([tf.shape(projected)[1], units], projected.dtype)

    def steps(width: int) -> tf.TensorArray:
        return tf.TensorArray(projected.dtype, size=length, element_shape=[None, width])

    def forward(
        i: tf.Tensor, before: tf.Tensor, states: tf.TensorArray, gates: tf.TensorArray, candidates: tf.TensorArray,
        resets: tf.TensorArray,
    ) -> tuple[object, ...]:  # fmt: skip
        x, h = projected[i], tf.matmul(before, recurrent)
        gate = tf.sigmoid(x[:, : 2 * units] + h[:, : 2 * units])
        reset = h[:, 2 * units :] + bias
        candidate = tf.tanh(x[:, 2 * units :] + gate[:, units:] * reset)
        after = candidate + gate[:, :units] * (before - candidate)
        return (
            i + 1, after, states.write(i, after), gates.write(i, gate), candidates.write(i, candidate),
            resets.write(i, reset),
        )  # fmt: skip

    start = (0, nothing, steps(units), steps(2 * units), steps(units), steps(units))
    _, _, *arrays = tf.while_loop(lambda i, *_: i < length, forward, start)
    states, gates, candidates, resets = (each.stack() for each in arrays)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        before = tf.concat([nothing[tf.newaxis], states[:-1]], axis=0)
        z, r = gates[..., :units], gates[..., units:]
        # Derivatives of h' with respect to the pre-activations of z, r and c, and to h U_c + d (that of c times r).
        by_candidate = (1.0 - z) * (1.0 - candidates**2)
        by_product = tf.concat(
            [(before - candidates) * z * (1.0 - z), by_candidate * resets * r * (1.0 - r), by_candidate * r], axis=-1
        )

        transposed = tf.transpose(recurrent)  # once: with few rows, a product with transpose_b takes twice the time

        def backward(
            i: tf.Tensor, later: tf.Tensor, totals: tf.TensorArray, products: tf.TensorArray
        ) -> tuple[object, ...]:
            total = upstream[i] + later
            product = by_product[i] * tf.tile(total, [1, 3])
            earlier = z[i] * total + tf.matmul(product, transposed)
            return i - 1, earlier, totals.write(i, total), products.write(i, product)

        start = (length - 1, nothing, steps(units), steps(3 * units))
        _, _, *arrays = tf.while_loop(lambda i, *_: i >= 0, backward, start)
        totals, products = (each.stack() for each in arrays)
        return (
            tf.concat([products[..., : 2 * units], totals * by_candidate], axis=-1),
            tf.matmul(tf.reshape(before, [-1, units]), tf.reshape(products, [-1, 3 * units]), transpose_a=True),
            tf.reduce_sum(products[..., 2 * units :], axis=[0, 1]),
        )

    return states, gradient
