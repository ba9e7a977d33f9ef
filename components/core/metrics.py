"""Retrieval metrics with one relevant item a query, from its rank."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Ranks = npt.NDArray[np.int64]
Gains = npt.NDArray[np.float64]


def recall(ranks: Ranks, k: int) -> Gains:
    """1 where the target is among the first k; with one relevant item that is recall@k and hit rate@k at once."""
    return (ranks <= k).astype(np.float64)


def mrr(ranks: Ranks, k: int) -> Gains:
    """1 / rank, 0 behind k (Voorhees 1999, "The TREC-8 Question Answering Track Report")."""
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


def ndcg(ranks: Ranks, k: int) -> Gains:
    """1 / log2(1 + rank), 0 behind k; the ideal gain of one relevant item is 1 (Järvelin & Kekäläinen 2002)."""
    return np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)


METRICS: dict[str, Callable[[Ranks, int], Gains]] = {"recall": recall, "mrr": mrr, "ndcg": ndcg}


def summarize(ranks: Ranks, ks: Sequence[int]) -> dict[str, float]:
    """Means over all targets, misses included, named like `recall@20`.

    Args:
        ranks: [num_targets] int64 ranks from 1.
        ks: cut-offs.

    Raises:
        ValueError: there is no target, or a cut-off below 1.
    """
    if len(ranks) == 0:
        raise ValueError("Expected at least one target to average over. Received: none")
    if not ks or min(ks) < 1:
        raise ValueError(f"Expected cut-offs ks of at least 1. Received: {list(ks)}")
    return {f"{name}@{k}": float(metric(ranks, k).mean()) for name, metric in METRICS.items() for k in ks}
