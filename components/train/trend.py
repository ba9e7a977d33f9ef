"""Trend correction: recent popularity of each item relative to its overall popularity."""

import numpy as np
import numpy.typing as npt

RECENT = 0.05  # share of the events that count as recent; about the last of 18 weeks


def log_trend(items: npt.NDArray[np.int32], *, num_items: int) -> npt.NDArray[np.float32]:
    """Returns the log ratio of each item's recent frequency to its overall frequency.

    A model trained on all sessions learns the average item probabilities. If only the prior p(item) has changed to
    p'(item), then p'(item | session) is p(item | session) p'(item) / p(item), up to a factor per session (Saerens et
    al. 2002, "Adjusting the Outputs of a Classifier to New a Priori Probabilities"). Both counts are smoothed by
    adding 1, which shrinks the ratio of rare items towards 1.

    Args:
        items: [num_events] item indices, oldest first.
        num_items: size of the vocabulary.

    Returns:
        [num_items] float32; entry i belongs to index i + 1.
    """
    num_recent = int(RECENT * len(items))
    total = np.bincount(items, minlength=num_items + 1)[1:]
    recent = np.bincount(items[len(items) - num_recent :], minlength=num_items + 1)[1:]
    return np.log((recent + 1.0) / (RECENT * total + 1.0)).astype(np.float32)
