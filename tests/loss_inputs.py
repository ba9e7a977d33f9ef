"""Inputs of a loss, made from scores in NumPy: for tests of the losses and of the model."""

import numpy as np
import tensorflow as tf

from components.train.objectives import LossInputs


def find_own(items: np.ndarray) -> np.ndarray:
    """Whether the place [row, position, place] is the newest one, up to the position, of a known item."""
    is_own = np.zeros((*items.shape, items.shape[1]), np.bool_)
    for row, position in np.ndindex(items.shape):
        newest = {item: place for place, item in enumerate(items[row, : position + 1].tolist()) if item > 0}
        is_own[row, position, list(newest.values())] = True
    return is_own


def make_inputs(
    sequence: np.ndarray,
    targets: np.ndarray,
    *,
    queries: tf.Tensor,
    embeddings: tf.Tensor,
    temperature: float,
    bonus: np.ndarray | None = None,
    seed: tf.Tensor | tuple[int, int] = (0, 0),
) -> LossInputs:
    """Makes the inputs.

    Args:
        sequence: [batch_size, length + 1] items of each session, then its last target.
        targets: [batch_size, length] items.
        queries: [batch_size, length, dimension].
        embeddings: [batch_size, length + 1, dimension] candidate embeddings of the sequence.
        temperature: divides the logits.
        bonus: [batch_size, length, length] bonuses of own items; None without a pointer.
        seed: of the negatives.
    """
    is_own = find_own(sequence[:, :-1])
    return LossInputs(
        queries=queries,
        targets=tf.constant(targets, tf.int32),
        sequence=tf.constant(sequence, tf.int32),
        sequence_embeddings=embeddings,
        sequence_logits=tf.matmul(queries, embeddings, transpose_b=True) / temperature,
        is_own=tf.constant(is_own),
        bonus=None if bonus is None else tf.constant(np.where(is_own, bonus, 0.0), tf.float32),
        seed=tf.convert_to_tensor(seed, tf.int32),
    )
