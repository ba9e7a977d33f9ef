import numpy as np
import tensorflow as tf

from components.train.optimizers import LazyAdam


def adam_by_hand(gradients, rate):
    """Adam (Kingma & Ba 2015, algorithm 1) for one number; epsilon as Keras places it."""
    value = momentum = velocity = 0.0
    for step, gradient in enumerate(gradients, 1):
        momentum = 0.9 * momentum + 0.1 * gradient
        velocity = 0.999 * velocity + 0.001 * gradient**2
        corrected = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        value -= corrected * momentum / (np.sqrt(velocity) + 1e-7)
    return value


def test_touched_rows_are_adam_and_others_stay():
    table, dense = tf.Variable(tf.zeros([4, 2])), tf.Variable(0.0)
    optimizer = LazyAdam(0.1, table_scale=2.0)
    for gradient in (1.0, -3.0):
        # Row 1 twice: its gradients add up to `gradient`.
        slices = tf.IndexedSlices(tf.fill([3, 2], gradient) * [[0.25], [1.0], [0.75]], [1, 2, 1], [4, 2])
        optimizer.apply_gradients([(slices, table), (tf.constant(gradient), dense)])
    np.testing.assert_allclose(table[1], adam_by_hand([1.0, -3.0], 0.2), rtol=1e-4)
    np.testing.assert_allclose(table[2], adam_by_hand([1.0, -3.0], 0.2), rtol=1e-4)
    np.testing.assert_array_equal(table[0], 0.0)
    np.testing.assert_allclose(dense, adam_by_hand([1.0, -3.0], 0.1), rtol=1e-4)


def test_a_row_waits_for_its_next_gradient():
    table = tf.Variable(tf.zeros([2, 1]))
    optimizer = LazyAdam(0.1, table_scale=1.0)
    optimizer.apply_gradients([(tf.IndexedSlices([[1.0]], [0], [2, 1]), table)])
    before = table.numpy()[0, 0]
    optimizer.apply_gradients([(tf.IndexedSlices([[1.0]], [1], [2, 1]), table)])
    assert table.numpy()[0, 0] == before
