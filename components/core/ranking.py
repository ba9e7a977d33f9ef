"""Exact ranks over the whole catalogue, computed by counting instead of sorting."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from components.core.machine import count_cpus
from components.core.vocabulary import UNKNOWN

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.integer]
ScoreTile = Callable[[slice], Floats]

NEVER = np.iinfo(np.int64).max  # rank of an item that is not in the catalogue
TILE_BYTES = 32 << 20


def dot_product(queries: Floats, candidates: Floats) -> ScoreTile:
    """Scores of a two-tower model.

    Args:
        queries: [num_queries, embedding_dim] float32.
        candidates: [num_items, embedding_dim] float32; row i belongs to the item with index i + 1.

    Raises:
        ValueError: an embedding is not finite. Comparisons with NaN are false, so the rank would be 0.
    """
    for name, embeddings in (("query", queries), ("candidate", candidates)):
        if not np.isfinite(embeddings).all():
            raise ValueError(f"Expected finite {name} embeddings. Received: NaN or infinity; the model has diverged")
    columns = np.ascontiguousarray(candidates.T)

    def score(rows: slice) -> Floats:
        product: Floats = queries[rows] @ columns
        return product

    return score


def add_bonus(score: ScoreTile, query: Ints, column: Ints, bonus: Floats) -> ScoreTile:
    """Adds a bonus to single scores.

    Args:
        score: the scores without the bonus.
        query: [num_bonuses] ascending query number of each bonus.
        column: [num_bonuses] column (item index minus 1) of each bonus; at most one bonus per query and column.
        bonus: [num_bonuses] what to add.
    """

    def add(rows: slice) -> Floats:
        tile = score(rows)
        first = rows.start or 0
        begin, end = np.searchsorted(query, [first, first + len(tile)])
        tile[query[begin:end] - first, column[begin:end]] += bonus[begin:end]
        return tile

    return add


def for_each_tile(
    process: Callable[[slice], None],
    *,
    num_queries: int,
    num_items: int,
    on_done: Callable[[int], None] | None = None,
) -> None:
    """Calls `process` with slices of the queries whose scores fit in the cache, with one thread per core.

    `on_done` is called after each slice with its number of queries, in the caller's thread.
    """
    num_rows = max(1, TILE_BYTES // (4 * num_items))
    slices = [slice(begin, begin + num_rows) for begin in range(0, num_queries, num_rows)]
    with threadpool_limits(limits=1), ThreadPoolExecutor(count_cpus()) as pool:
        for rows, _ in zip(slices, pool.map(process, slices), strict=True):
            if on_done is not None:
                on_done(min(rows.stop, num_queries) - rows.start)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Ranks of the targets, and the items with the highest scores.

    Attributes:
        ranks: [num_queries] int64 ranks from 1; NEVER for the target UNKNOWN.
        top: [num_queries, top_k] int32 indices, from 1, of the items with the highest scores, unordered.
    """

    ranks: npt.NDArray[np.int64]
    top: npt.NDArray[np.int32]


def rank_targets(
    score: ScoreTile,
    targets: npt.NDArray[np.int32],
    *,
    num_items: int,
    top_k: int = 0,
    on_ranked: Callable[[int], None] | None = None,
) -> Ranking:
    """Ranks each target among all items; ties count against the model.

    The rank is the number of items whose score is at least that of the target, including the target, so a model with
    equal scores for all items ranks every target last. Scores are computed in float32 tiles that fit in the cache,
    with one thread per core.

    Args:
        score: returns the scores [num_rows, num_items] of a slice of the queries.
        targets: [num_queries] int32 item indices from 1, or UNKNOWN for an item that is not in the catalogue.
        num_items: number of items in the catalogue.
        top_k: number of top items to return; at most `num_items`.
        on_ranked: called after each tile with its number of targets, in the caller's thread.

    Returns:
        The ranks of the targets and the top items.
    """
    ranks = np.full(len(targets), NEVER)
    top = np.empty((len(targets), min(top_k, num_items)), np.int32)

    def rank_tile(rows: slice) -> None:
        tile = score(rows)
        column = np.maximum(targets[rows] - 1, 0)
        at_least = tile >= tile[np.arange(len(tile)), column][:, None]
        counts = np.fromiter(map(np.count_nonzero, at_least), np.int64, len(tile))
        ranks[rows] = np.where(targets[rows] == UNKNOWN, NEVER, counts)
        if top_k:
            top[rows] = _top_columns(tile, top.shape[1]) + 1

    for_each_tile(rank_tile, num_queries=len(targets), num_items=num_items, on_done=on_ranked)
    return Ranking(ranks=ranks, top=top)


def _top_columns(tile: Floats, k: int) -> npt.NDArray[np.int64]:
    """Columns [num_rows, k] of the k largest scores of each row, unordered.

    Only scores above a lower bound are partitioned. The bound is the k-th largest of the maxima of blocks of columns,
    so at least k scores reach it.
    """
    num_columns = tile.shape[1]
    width = num_columns // (4 * k)
    if width < 2:
        return np.argpartition(-tile, k - 1, axis=1)[:, :k]
    maxima = tile[:, : 4 * k * width].reshape(len(tile), 4 * k, width).max(axis=2)
    bounds = np.partition(maxima, 3 * k, axis=1)[:, 3 * k]
    columns = np.empty((len(tile), k), np.int64)
    for row, bound in enumerate(bounds):
        candidates = np.flatnonzero(tile[row] >= bound)
        columns[row] = candidates[np.argpartition(-tile[row, candidates], k - 1)[:k]]
    return columns
