"""Fits the pointer to the validation sessions, with the towers held fixed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scipy import optimize

from components.core.ranking import ScoreTile, add_bonus, for_each_tile

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.integer]

# The loss is a sum over the queries, so its gradient is large until the end.
OPTIONS: Any = {"gtol": 1e-2, "initial_trust_radius": 10.0, "max_trust_radius": 1000.0, "maxiter": 50}
PRECISION = 1.0  # of the Gaussian prior of each weight, whose mean is the trained weight


@dataclass(frozen=True, kw_only=True)
class OwnPairs:
    """Pairs of a query and an own item.

    Attributes:
        query: [num_pairs] ascending query number.
        item: [num_pairs] item index, from 1.
        logit: [num_pairs] logit without the bonus.
        features: [num_pairs, num_features].
    """

    query: Ints
    item: Ints
    logit: Floats
    features: Floats


def log_partition_of_others(score: ScoreTile, pairs: OwnPairs, *, num_queries: int, num_items: int) -> Floats:
    """Returns log sum exp(logit) of each query over the items that are not its own, [num_queries].

    Args:
        score: the logits, without bonus.
        pairs: the own items.
        num_queries: number of queries.
        num_items: number of items in the catalogue.
    """
    log_partition = np.empty(num_queries, np.float32)

    others = add_bonus(score, pairs.query, pairs.item - 1, np.full(len(pairs.item), -np.inf, np.float32))

    def sum_tile(rows: slice) -> None:
        tile = others(rows)
        highest = np.maximum(tile.max(axis=1), np.finfo(np.float32).min)  # finite also where all items are own items
        np.subtract(tile, highest[:, np.newaxis], out=tile)
        # NumPy's exp takes several times as long, and tf.reduce_logsumexp copies the tile three times.
        log_partition[rows] = tf.math.log(tf.reduce_sum(tf.exp(tile), axis=1)).numpy() + highest

    for_each_tile(sum_tile, num_queries=num_queries, num_items=num_items)
    return log_partition


def fit_pointer(pairs: OwnPairs, targets: Ints, others: Floats, trained: Floats) -> Floats:
    """Fits the weights of the pointer by maximum a posteriori.

    Maximises the log-likelihood of the softmax over the whole catalogue plus the log of a Gaussian prior around the
    trained weights. In the weights, the function is concave. In training, the towers have seen the sessions that they
    score, so their scores of the other items are too good, and the bonus that they leave to the own items is too small;
    a combination must be fitted where its inputs are honest (Wolpert 1992, "Stacked Generalization").

    Args:
        pairs: the own items of the queries.
        targets: [num_queries] item index of each query's target.
        others: [num_queries] from `log_partition_of_others`.
        trained: [num_features] weights learned in the loss.

    Returns:
        [num_features] float32 weights; `trained` if there are no pairs.
    """
    if len(pairs.query) == 0:
        return trained
    is_target = pairs.item == targets[pairs.query]
    features = pairs.features.astype(np.float64)
    wanted = features[is_target].sum(axis=0)
    queries, begin, of_pair = np.unique(pairs.query, return_index=True, return_inverse=True)
    others = others[queries].astype(np.float64)

    def weigh(weights: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Returns log partition [num_queries_with_pairs] and the probability of each pair's item."""
        logit = pairs.logit + features @ weights
        highest = np.maximum(others, np.maximum.reduceat(logit, begin))
        exponential = np.exp(logit - highest[of_pair])
        partition = np.exp(others - highest) + np.add.reduceat(exponential, begin)
        return np.log(partition) + highest, exponential / partition[of_pair]

    def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        log_partition, probability = weigh(weights)
        shift = weights - trained
        value = log_partition.sum() - wanted @ weights + 0.5 * PRECISION * shift @ shift
        return value, features.T @ probability - wanted + PRECISION * shift

    def curvature(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        weighted = features * weigh(weights)[1][:, np.newaxis]
        means = np.add.reduceat(weighted, begin)
        hessian: npt.NDArray[np.float64] = features.T @ weighted - means.T @ means
        return hessian + PRECISION * np.eye(len(weights))

    start = trained.astype(np.float64)
    found = optimize.minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options=OPTIONS)
    return np.asarray(found.x, np.float32)
