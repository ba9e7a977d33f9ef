import numpy as np
import pytest
import tensorflow as tf

from components.export.exact_search import BLOCK, ExactSearch


@pytest.mark.parametrize("num_items", [1, BLOCK - 1, BLOCK, 5 * BLOCK, 40 * BLOCK + 7])
def test_the_best_are_those_of_all_scores(num_items):
    rng = np.random.default_rng(num_items)
    candidates = rng.normal(size=(num_items, 5)).astype(np.float32)
    queries = rng.normal(size=(9, 5)).astype(np.float32)
    queries[0] = 0.0  # all scores are equal, and above those of the rows that fill the last block
    queries[1] = -candidates[0]
    search = ExactSearch(candidates)
    expected = queries @ candidates.T
    for num_best in {1, min(3, num_items), num_items}:
        scores, rows = (each.numpy() for each in search(tf.constant(queries), tf.constant(num_best)))
        np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :num_best], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(scores, np.take_along_axis(expected, rows, axis=1), rtol=1e-4, atol=1e-5)
        assert all(len(set(row)) == num_best for row in rows.tolist())
    np.testing.assert_array_equal(search.vectors(tf.constant([[num_items - 1, 0]])), candidates[[[num_items - 1, 0]]])


def test_of_equal_scores_the_smaller_row_comes_first():
    candidates = np.ones((40 * BLOCK, 2), np.float32)
    candidates[5 * BLOCK :: 3 * BLOCK] = 2.0
    _, rows = ExactSearch(candidates)(tf.ones([1, 2]), tf.constant(15))
    assert rows.numpy()[0].tolist() == [*range(5 * BLOCK, 40 * BLOCK, 3 * BLOCK), 0, 1, 2]
