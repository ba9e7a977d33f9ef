"""Retrieval metrics for queries with one relevant item, computed from its rank."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Ranks = npt.NDArray[np.int64]
Gains = npt.NDArray[np.float64]


def recall(ranks: Ranks, k: int) -> Gains:
    """1 if the target is among the first k items, else 0; with one relevant item, recall@k equals hit rate@k."""
    return (ranks <= k).astype(np.float64)


def mrr(ranks: Ranks, k: int) -> Gains:
    """1 / rank, 0 for ranks above k (Voorhees 1999, "The TREC-8 Question Answering Track Report")."""
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


def ndcg(ranks: Ranks, k: int) -> Gains:
    """1 / log2(1 + rank), 0 for ranks above k; the ideal gain is 1 (Järvelin & Kekäläinen 2002)."""
    return np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)


METRICS: dict[str, Callable[[Ranks, int], Gains]] = {"recall": recall, "mrr": mrr, "ndcg": ndcg}


def all_gains(ranks: Ranks, ks: Sequence[int]) -> dict[str, Gains]:
    """Gains [num_targets] of every metric at every cut-off, with keys such as `recall@20`.

    Raises:
        ValueError: there is no target, or a cut-off is below 1.
    """
    if len(ranks) == 0:
        raise ValueError("Expected at least one target to average over. Received: none")
    if not ks or min(ks) < 1:
        raise ValueError(f"Expected cut-offs ks of at least 1. Received: {list(ks)}")
    return {f"{name}@{k}": metric(ranks, k) for name, metric in METRICS.items() for k in ks}


def summarize(ranks: Ranks, ks: Sequence[int]) -> dict[str, float]:
    """Means over all targets, including misses, with keys such as `recall@20`.

    Args:
        ranks: [num_targets] int64 ranks from 1.
        ks: cut-offs.

    Raises:
        ValueError: there is no target, or a cut-off is below 1.
    """
    return {name: float(gains.mean()) for name, gains in all_gains(ranks, ks).items()}


class Bootstrap:
    """Bootstrap confidence intervals of means over targets (Efron & Tibshirani 1993, chapter 13).

    Targets of one session depend on each other, so the bootstrap resamples whole sessions. All intervals use the same
    resamples, so the interval of a difference is paired.

    Args:
        session: [num_targets] the session of each target.
        num_samples: number of resamples.
        seed: random seed of the resamples.
    """

    def __init__(self, session: npt.NDArray[np.int64], *, num_samples: int = 1_000, seed: int = 42) -> None:
        _, self.session = np.unique(session, return_inverse=True)
        num_sessions = int(self.session.max()) + 1
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(num_sessions, np.full(num_sessions, 1.0 / num_sessions), size=num_samples)
        self.draws = draws.astype(np.float32)
        self.num_targets = self.draws @ np.bincount(self.session).astype(np.float32)

    def interval(
        self, gains: Gains, *, among: npt.NDArray[np.bool_] | None = None, confidence: float = 0.95
    ) -> list[float]:
        """Lower and upper bound of the percentile interval of the mean of [num_targets] gains or gain differences.

        Args:
            gains: [num_targets] gains or differences.
            among: [num_targets] the targets to average over, at least one; None for all. Resamples without such a
                target are left out.
            confidence: share of the resamples inside the interval.
        """
        num_targets = self.num_targets
        if among is not None:
            gains = gains * among
            num_targets = self.draws @ np.bincount(self.session, among).astype(np.float32)
        drawn = num_targets > 0
        means = (self.draws @ np.bincount(self.session, gains).astype(np.float32))[drawn] / num_targets[drawn]
        tail = (1.0 - confidence) / 2.0
        return [float(bound) for bound in np.quantile(means, [tail, 1.0 - tail])]


def coverage(top: npt.NDArray[np.int32], *, num_items: int) -> float:
    """Share of the catalogue that is among the top items [num_queries, k] of at least one query."""
    return len(np.unique(top)) / num_items


def mean_popularity_percentile(top: npt.NDArray[np.int32], counts: npt.NDArray[np.int64]) -> float:
    """Mean popularity percentile of the recommended items: 0.5 for random items, almost 1 for best-sellers only.

    Args:
        top: [num_queries, k] item indices from 1.
        counts: [num_items] number of events of each item.
    """
    ordered = np.sort(counts)
    below, up_to = (np.searchsorted(ordered, counts, side=side) for side in ("left", "right"))
    percentile = (below + up_to) / 2.0 / len(counts)
    return float(percentile[top - 1].mean())
