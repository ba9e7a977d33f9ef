"""Computes the largest parts of a training step in two halves, which run at the same time on a CPU.

An operation that is spread over all cores waits for the slowest of them, which is often busy with another operation.
With two independent halves, TensorFlow keeps the cores busy with one thread per operation (docs/benchmarks.md).
"""

import tensorflow as tf

from components.train.distribution import has_gpu

NUM_HALVES = 2


def split_rows(values: tf.Tensor) -> list[tf.Tensor]:
    """Splits values [num_rows, ...] into two halves, of which the second may be empty; a GPU gets them whole."""
    if has_gpu():
        return [values]
    num_rows = tf.shape(values)[0]
    in_first = (num_rows + 1) // NUM_HALVES
    halves: list[tf.Tensor] = tf.split(values, [in_first, num_rows - in_first], num=NUM_HALVES)
    return halves
