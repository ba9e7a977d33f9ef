"""Adam that touches only the rows of a table that a step used."""

from typing import Any

import tensorflow as tf


class LazyAdam(tf.keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015) whose sparse updates cost as much as the rows that they touch.

    Keras' own Adam decays the moments of every row in every step, which at a million items is most of the work.
    Here a row's moments wait until its next gradient, as in TensorFlow Addons' optimizer of the same name. Rows
    take steps of `table_scale` times the learning rate: few gradients reach each of them.

    Args:
        learning_rate: of everything that is dense.
        table_scale: what multiplies it for sparse gradients.
    """

    def __init__(self, learning_rate: Any, *, table_scale: float) -> None:
        super().__init__(learning_rate, jit_compile=False)  # XLA has no scatter into a variable's rows
        self.table_scale = table_scale

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Applies one gradient; the rows of an IndexedSlices are distinct, as Keras hands it over."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = tf.cast(self.beta_1, variable.dtype), tf.cast(self.beta_2, variable.dtype)
        rate = tf.cast(self.learning_rate, variable.dtype) * self.table_scale
        rate *= tf.sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step)
        slot = self._index_dict[self._var_key(variable)]
        rows, values = gradient.indices, gradient.values
        momentum = beta_1 * tf.gather(self._momentums[slot], rows) + (1.0 - beta_1) * values
        velocity = beta_2 * tf.gather(self._velocities[slot], rows) + (1.0 - beta_2) * values**2
        self._momentums[slot].scatter_update(tf.IndexedSlices(momentum, rows))
        self._velocities[slot].scatter_update(tf.IndexedSlices(velocity, rows))
        variable.scatter_sub(tf.IndexedSlices(rate * momentum / (tf.sqrt(velocity) + self.epsilon), rows))
