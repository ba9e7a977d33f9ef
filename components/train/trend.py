"""How the popularity of items has moved."""

import numpy as np
import numpy.typing as npt

RECENT = 0.05  # share of the events that count as recent; of 18 weeks it is the last


def log_trend(items: npt.NDArray[np.int32], *, num_items: int) -> npt.NDArray[np.float32]:
    """Log of how much more often than on average each item came lately.

    A model of all sessions knows how likely items are on average. Where only their overall shares have changed,
    p'(item | session) is p(item | session) p'(item) / p(item), up to a factor of the session (Saerens et al. 2002,
    "Adjusting the Outputs of a Classifier to New a Priori Probabilities"). Both counts start at 1, since few events
    say little.

    Args:
        items: [num_events] item indices, the newest last.
        num_items: size of the vocabulary.

    Returns:
        [num_items] float32, entry i for index i + 1.
    """
    num_recent = int(RECENT * len(items))
    total = np.bincount(items, minlength=num_items + 1)[1:]
    recent = np.bincount(items[len(items) - num_recent :], minlength=num_items + 1)[1:]
    return np.log((recent + 1.0) / (RECENT * total + 1.0)).astype(np.float32)
