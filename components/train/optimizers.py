"""Adam that updates only the embedding rows used in a step."""

from typing import Any

import tensorflow as tf


class LazyAdam(tf.keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015) with sparse updates whose cost is proportional to the number of rows updated.

    Keras' Adam decays the moments of every row in every step, which dominates the run time with a million items.
    Here a row's moments stay unchanged until its next gradient, as in the LazyAdam of TensorFlow Addons. Sparse
    gradients use `table_scale` times the learning rate, because each row receives few gradients.

    Args:
        learning_rate: learning rate of dense gradients, a number or a schedule.
        table_scale: factor on the learning rate for sparse gradients.
    """

    def __init__(self, learning_rate: Any, *, table_scale: float) -> None:
        super().__init__(learning_rate, jit_compile=False)  # XLA does not support scatter updates of variables
        self.table_scale = table_scale

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Applies one gradient; Keras has already merged duplicate rows of an IndexedSlices."""
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
        # Rows are distinct, so this equals scatter_sub, which takes twice the time on CPUs.
        updated = tf.gather(variable, rows) - rate * momentum / (tf.sqrt(velocity) + self.epsilon)
        variable.scatter_update(tf.IndexedSlices(updated, rows))
