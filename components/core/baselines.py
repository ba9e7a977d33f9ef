"""Recommenders without a neural network, for the same scorer as the model."""

import numpy as np

from components.core.ranking import Floats, ScoreTile
from components.core.vocabulary import Vocabulary


def popularity(vocabulary: Vocabulary, num_queries: int) -> ScoreTile:
    """Scores every item by its count in the training events, whatever the session."""
    counts: Floats = vocabulary.counts.astype(np.float32)

    def score(rows: slice) -> Floats:
        num_rows = len(range(*rows.indices(num_queries)))
        return np.broadcast_to(counts, (num_rows, len(counts)))

    return score
