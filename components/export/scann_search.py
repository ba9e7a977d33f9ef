"""Approximate search with ScaNN for the candidates with the largest inner products."""

import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scann.scann_ops.py import scann_ops
from tensorflow.python.framework.auto_control_deps_utils import register_read_only_resource_op

LEAVES_PER_ROOT = 2  # partitions, divided by the square root of the number of candidates
SHARE_OF_LEAVES = 0.15  # of the partitions, searched for each query
MIN_SEARCHED_LEAVES = 140
REORDERED = 4  # candidates whose exact score is computed, for each one that is returned
MIN_REORDERED = 200
MAX_SHARE = 0.05  # of the candidates; queries for more are answered exactly
# Two coordinates share a 4-bit code, and an error along the candidate weighs more than one across it: the values of
# https://github.com/google-research/google-research/blob/master/scann/docs/algorithms.md
DIMENSIONS_PER_CODE = 2
ANISOTROPIC_THRESHOLD = 0.2
# ScaNN's operation uses one core for up to 256 queries, so a batch is searched in parts, at the same time.
NUM_PARTS = 4
MIN_QUERIES = 32  # of a part, if there are as many; ScaNN is faster with more
SEARCH_OPERATION = "Scann>ScannSearchBatched"
# Otherwise, TensorFlow lets each search with a searcher wait for the one before, as if it changed the searcher.
register_read_only_resource_op(SEARCH_OPERATION)


class ScannSearch(tf.Module):
    """Searches the partitions next to the query, and selects the best of what is found there by exact scores.

    Scores inside a partition are estimated from 4-bit codes (Guo et al. 2020, https://arxiv.org/abs/1908.10396). The
    best of them are scored again with the candidates themselves, so the scores that are returned are exact.

    A process that loads the SavedModel needs ScaNN's operations: see `components.core.saved_model.load_index`.

    Args:
        candidates: [num_items, dimension] float32.
    """

    def __init__(self, candidates: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.num_items = len(candidates)
        self.num_leaves = max(1, round(LEAVES_PER_ROOT * math.sqrt(self.num_items)))
        self.searched_leaves = min(self.num_leaves, max(MIN_SEARCHED_LEAVES, round(SHARE_OF_LEAVES * self.num_leaves)))
        searcher = (
            scann_ops.builder(candidates, 1, "dot_product")
            .tree(self.num_leaves, self.searched_leaves)
            .score_ah(DIMENSIONS_PER_CODE, ANISOTROPIC_THRESHOLD)
            .reorder(MIN_REORDERED)
            .build()
        )
        *state, table = scann_ops.scann_to_tensors(searcher.searcher_handle)
        self.table = tf.Variable(table, trainable=False, name="candidates")
        self.state = [tf.Variable(tensor, trainable=False) for tensor in state]

    def __call__(self, queries: tf.Tensor, num_best: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds most of the best candidates of each query.

        Args:
            queries: [num_queries, dimension] float32.
            num_best: [] int32, at most `num_items`.

        Returns:
            Inner products and rows of the candidates, [num_queries, num_best], best first. Where the searched
            partitions hold fewer candidates, the score is -inf and the row 0.
        """
        best: tuple[tf.Tensor, tf.Tensor] = tf.cond(
            num_best > int(MAX_SHARE * self.num_items),
            lambda: self._search_all(queries, num_best),
            lambda: self._search_leaves(queries, num_best),
        )
        return best

    def _search_leaves(self, queries: tf.Tensor, num_best: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Kernels create the searcher at their first run and keep it.
        searcher = scann_ops.tensors_to_scann(self.table, *self.state)
        num_reordered = tf.maximum(REORDERED * num_best, MIN_REORDERED)
        # Twice as many as the candidates to reorder fill, since partitions differ in size.
        filled = 2 * num_reordered * self.num_leaves // self.num_items
        num_leaves = tf.minimum(tf.maximum(filled, self.searched_leaves), self.num_leaves)
        best = [
            _fill(scann_ops.scann_search_batched(searcher, part, num_best, num_reordered, num_leaves, True), num_best)
            for part in _split(queries)
        ]
        scores, rows = (tf.concat(parts, axis=0) for parts in zip(*best, strict=True))
        return scores, rows

    def _search_all(self, queries: tf.Tensor, num_best: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tuple(tf.math.top_k(tf.matmul(queries, self.table, transpose_b=True), k=num_best))

    def vectors(self, rows: tf.Tensor) -> tf.Tensor:
        """Candidates [..., dimension] of rows [...]."""
        # A gather from the variable itself makes TensorFlow copy the whole table at every later read.
        return tf.gather(tf.convert_to_tensor(self.table), rows)


def _split(queries: tf.Tensor) -> list[tf.Tensor]:
    """Splits queries [num_queries, dimension] into NUM_PARTS parts, of which the last ones may be empty."""
    num_queries = tf.shape(queries)[0]
    size = tf.maximum((num_queries + NUM_PARTS - 1) // NUM_PARTS, MIN_QUERIES)
    ends = tf.minimum(size * tf.range(NUM_PARTS + 1), num_queries)
    parts: list[tf.Tensor] = tf.split(queries, ends[1:] - ends[:-1], num=NUM_PARTS)
    return parts


def _fill(found: tuple[tf.Tensor, tf.Tensor], num_best: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns scores and rows [num_queries, num_best] of what ScaNN found, which has the columns of its fullest row."""
    rows, scores = found[0], found[1]
    scores = tf.where(tf.math.is_nan(scores), -np.inf, scores)
    padding = [[0, 0], [0, num_best - tf.shape(rows)[1]]]
    return tf.pad(scores, padding, constant_values=-np.inf), tf.pad(rows, padding)
