"""Exact ranks for scores that are equal for all queries except at a few items per query."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from components.core.machine import count_cpus
from components.core.ranking import NEVER, Floats, Ranking
from components.core.vocabulary import UNKNOWN

TILE_ROWS = 256

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SparseScores:
    """Scores of all items per query: `shared` plus a sparse addition.

    Attributes:
        shared: [num_items] float32 scores, equal for all queries.
        added: returns the additions for a slice of the queries, [num_rows, num_items] float32, non-negative.
    """

    shared: Floats
    added: Callable[[slice], sparse.csr_array]


def rank_sparse(
    scores: SparseScores,
    targets: npt.NDArray[np.int32],
    *,
    top_k: int = 0,
    on_ranked: Callable[[int], None] | None = None,
) -> Ranking:
    """Returns the same ranks as `ranking.rank_targets`, in time proportional to the number of additions.

    A target's rank is the number of items that score at least as high. Items with an addition are compared one by one;
    all others are counted by binary search in the sorted shared scores.

    Args:
        scores: scores of the queries.
        targets: [num_queries] int32 item indices from 1; UNKNOWN gets the rank NEVER.
        top_k: number of best items to return per query, at most `num_items`.
        on_ranked: called after each tile with its number of targets, in the caller's thread.
    """
    num_items = len(scores.shared)
    ascending = np.sort(scores.shared)
    ranks = np.full(len(targets), NEVER)
    top = np.empty((len(targets), min(top_k, num_items)), np.int32)
    leading = np.argsort(-scores.shared, kind="stable")[: top.shape[1]]
    place = np.full(num_items, -1)
    place[leading] = np.arange(len(leading))

    def rank_tile(begin: int) -> None:
        rows = slice(begin, begin + TILE_ROWS)
        added, chosen = scores.added(rows), targets[rows]
        row = np.repeat(np.arange(len(chosen)), np.diff(added.indptr))
        shared = scores.shared[added.indices]
        total = shared + added.data
        column = np.maximum(chosen - 1, 0)
        target_score = scores.shared[column]
        is_target = added.indices == column[row]
        target_score[row[is_target]] = total[is_target]
        num_shared = num_items - np.searchsorted(ascending, target_score, side="left")
        at_least = (total >= target_score[row]).astype(np.int64) - (shared >= target_score[row])
        counts = num_shared + np.bincount(row, at_least, minlength=len(chosen)).astype(np.int64)
        ranks[rows] = np.where(chosen == UNKNOWN, NEVER, counts)
        if top_k:
            is_other = np.ones((len(chosen), len(leading)), np.bool_)
            has_place = place[added.indices] >= 0
            is_other[row[has_place], place[added.indices[has_place]]] = False
            other_row, other = np.nonzero(is_other)
            other = leading[other]
            top[rows] = 1 + _top_items(
                np.concatenate([row, other_row]),
                np.concatenate([added.indices, other]),
                np.concatenate([total, scores.shared[other]]),
                top.shape[1],
            )

    with ThreadPoolExecutor(count_cpus()) as pool:
        begins = range(0, len(targets), TILE_ROWS)
        for begin, _ in zip(begins, pool.map(rank_tile, begins), strict=True):
            if on_ranked is not None:
                on_ranked(min(TILE_ROWS, len(targets) - begin))
    return Ranking(ranks=ranks, top=top)


def _top_items(row: Ints, item: Ints, score: Floats, k: int) -> Ints:
    """Returns the k items with the highest scores per row, [num_rows, k]; each row must have at least k items."""
    order = np.lexsort((-score, row))
    begins = np.searchsorted(row[order], np.arange(row.max() + 1))
    best: Ints = item[order[begins[:, np.newaxis] + np.arange(k)]]
    return best
