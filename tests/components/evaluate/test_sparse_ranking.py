import numpy as np
import pytest
from scipy import sparse

from components.core.ranking import NEVER, rank_targets
from components.evaluate import sparse_ranking
from components.evaluate.sparse_ranking import SparseScores, rank_sparse

RNG = np.random.default_rng(0)


def make(num_rows, num_items, share):
    """Whole numbers and halves, so full of ties; some additions are 0, some rows have none."""
    shared = RNG.integers(0, 6, num_items).astype(np.float32)
    where = RNG.random((num_rows, num_items)) < share
    row, column = np.nonzero(where)
    data = RNG.integers(0, 4, len(row)).astype(np.float32) / 2
    added = sparse.csr_array((data, (row, column)), shape=(num_rows, num_items))
    assert added.nnz == len(row)
    return SparseScores(shared=shared, added=lambda rows: added[rows])


def to_dense(scores):
    return scores.shared + scores.added(slice(0, 61)).toarray()


@pytest.mark.parametrize("tile_rows", [1, 7, 256])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_ranks_are_those_of_the_dense_scores(monkeypatch, tile_rows, share):
    monkeypatch.setattr(sparse_ranking, "TILE_ROWS", tile_rows)
    scores = make(61, 40, share)
    targets = np.append(0, RNG.integers(1, 41, 60)).astype(np.int32)
    ranks = rank_sparse(scores, targets).ranks
    assert np.array_equal(ranks, rank_targets(lambda rows: to_dense(scores)[rows], targets, num_items=40).ranks)
    assert ranks[0] == NEVER


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 7, 40, 50])
def test_top_items_are_the_best(share, k):
    scores = make(61, 40, share)
    top = rank_sparse(scores, np.ones(61, np.int32), top_k=k).top
    dense = to_dense(scores)
    assert top.shape == (61, min(k, 40))
    assert all(len(set(row)) == len(row) for row in top.tolist())
    best = -np.sort(-dense, axis=1)[:, :k]
    assert np.array_equal(-np.sort(-np.take_along_axis(dense, top - 1, axis=1), axis=1), best)
