"""Trend correction: recent popularity of each item relative to its overall popularity."""

import numpy as np
import numpy.typing as npt

RECENT = 0.05  # share of the events that count as recent; about the last of 18 weeks


def log_trend(items: npt.NDArray[np.int32], *, num_items: int) -> npt.NDArray[np.float32]:
    """Returns the log ratio of each item's recent frequency to its overall frequency.

    A model trained on all sessions learns the average item probabilities. If only the prior p(item) has changed to
    p'(item), then p'(item | session) is p(item | session) p'(item) / p(item), up to a factor per session (Saerens et
    al. 2002, "Adjusting the Outputs of a Classifier to New a Priori Probabilities").

    The ratio is shrunk towards 1. If the recent count of an item is Poisson with mean ratio * expected, and the ratios
    of the items are Gamma distributed with mean 1 and shape a, the posterior mean of a ratio is
    (recent + a) / (expected + a). The shape is estimated by moments (empirical Bayes, as in Casella 1985, "An
    Introduction to Empirical Bayes Data Analysis"): where recent counts vary no more than chance explains, a is
    infinite and there is no trend.

    Args:
        items: [num_events] item indices, oldest first.
        num_items: size of the vocabulary.

    Returns:
        [num_items] float32; entry i belongs to index i + 1.
    """
    num_recent = int(RECENT * len(items))
    total = np.bincount(items, minlength=num_items + 1)[1:]
    recent = np.bincount(items[len(items) - num_recent :], minlength=num_items + 1)[1:]
    expected = RECENT * total
    excess = np.sum((recent - expected) ** 2 - (1 - RECENT) * expected)
    if excess <= 0:
        return np.zeros(num_items, np.float32)
    shape = np.sum(expected**2) / excess
    trend: npt.NDArray[np.float32] = np.log((recent + shape) / (expected + shape)).astype(np.float32)
    return trend
