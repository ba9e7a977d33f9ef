import numpy as np
import pytest

from components.core.metrics import summarize
from components.core.ranking import NEVER


def test_by_hand():
    # Ranks 1, 3, 12 and one that is never found.
    summary = summarize(np.array([1, 3, 12, NEVER]), ks=(1, 10, 20))
    assert summary == pytest.approx(
        {
            "recall@1": 1 / 4,
            "recall@10": 2 / 4,
            "recall@20": 3 / 4,
            "mrr@1": 1 / 4,
            "mrr@10": (1 + 1 / 3) / 4,
            "mrr@20": (1 + 1 / 3 + 1 / 12) / 4,
            "ndcg@1": 1 / 4,
            "ndcg@10": (1 + 1 / 2) / 4,  # log2(1 + 3) = 2
            "ndcg@20": (1 + 1 / 2 + 1 / np.log2(13)) / 4,
        }
    )


def test_nothing_to_average_is_an_error():
    with pytest.raises(ValueError, match="Expected at least one target"):
        summarize(np.array([], np.int64), ks=(1,))


def test_cut_off_below_1_is_an_error():
    with pytest.raises(ValueError, match=r"Expected cut-offs ks of at least 1. Received: \[0, 5\]"):
        summarize(np.array([1]), ks=(0, 5))
