"""Exact search for the candidates with the largest inner products."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

BLOCK = 64  # number of candidates whose maximum decides whether they are looked at one by one
LOWEST = -1e30  # score of the rows that fill the last block


class ExactSearch(tf.Module):
    """Scores all candidates and selects the best.

    The largest n scores are in the n blocks of BLOCK candidates with the largest maxima. So one fast pass finds the
    maxima, and only n * BLOCK scores are sorted; `tf.math.top_k` over all scores takes several times as long.

    Args:
        candidates: [num_items, dimension] float32.
    """

    def __init__(self, candidates: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.num_items, self.dimension = candidates.shape
        num_blocks = -(-self.num_items // BLOCK)
        # One more coordinate, where queries have 1, keeps the rows that fill the last block out of the best.
        table = np.zeros((num_blocks * BLOCK, self.dimension + 1), np.float32)
        table[: self.num_items, :-1] = candidates
        table[self.num_items :, -1] = LOWEST
        self.table = tf.Variable(table, trainable=False, name="candidates")

    def __call__(self, queries: tf.Tensor, num_best: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the best candidates of each query.

        Args:
            queries: [num_queries, dimension] float32.
            num_best: [] int32, at most `num_items`.

        Returns:
            Inner products and rows of the candidates, [num_queries, num_best], best first.
        """
        scores = tf.matmul(tf.concat([queries, tf.ones_like(queries[:, :1])], axis=1), self.table, transpose_b=True)
        num_blocks = self.table.shape[0] // BLOCK
        best: tuple[tf.Tensor, tf.Tensor] = tf.cond(
            num_best * 2 < num_blocks,
            lambda: _best_of_blocks(scores, num_best),
            lambda: tuple(tf.math.top_k(scores, k=num_best)),
        )
        return best

    def vectors(self, rows: tf.Tensor) -> tf.Tensor:
        """Candidates [..., dimension] of rows [...]."""
        # A gather from the variable itself makes TensorFlow copy the whole table at every later read.
        return tf.gather(tf.convert_to_tensor(self.table), rows)[..., :-1]


def _best_of_blocks(scores: tf.Tensor, num_best: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    num_queries, num_blocks = tf.shape(scores)[0], scores.shape[1] // BLOCK
    blocks = tf.reshape(scores, [num_queries, num_blocks, BLOCK])
    chosen = tf.sort(tf.math.top_k(tf.reduce_max(blocks, axis=2), k=num_best).indices)  # ties go to the smaller row
    width = num_best * BLOCK
    values = tf.reshape(tf.gather(blocks, chosen, batch_dims=1), [num_queries, width])
    rows = tf.reshape(chosen[:, :, tf.newaxis] * BLOCK + tf.range(BLOCK), [num_queries, width])
    best, order = tf.math.top_k(values, k=num_best)
    return best, tf.gather(rows, order, batch_dims=1)
