import numpy as np
import pytest

from components.core.metrics import Bootstrap, coverage, mean_popularity_percentile, summarize
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


def test_the_interval_is_that_of_a_mean_where_sessions_have_one_target():
    rng = np.random.default_rng(0)
    gains = (rng.random(2_000) < 0.3).astype(float)
    low, high = Bootstrap(np.arange(2_000)).interval(gains)
    margin = 1.96 * np.sqrt(gains.mean() * (1 - gains.mean()) / 2_000)
    assert (low, high) == pytest.approx((gains.mean() - margin, gains.mean() + margin), abs=0.003)


def test_targets_that_hang_together_widen_the_interval():
    gains = np.repeat((np.random.default_rng(0).random(200) < 0.3).astype(float), 10)
    apart = np.subtract(*Bootstrap(np.arange(2_000)).interval(gains))
    together = np.subtract(*Bootstrap(np.repeat(np.arange(200), 10)).interval(gains))
    assert together / apart == pytest.approx(np.sqrt(10), rel=0.15)


def test_a_constant_difference_has_no_width():
    assert Bootstrap(np.array([0, 0, 1, 2])).interval(np.full(4, 0.25)) == pytest.approx([0.25, 0.25])


def test_coverage_by_hand():
    assert coverage(np.array([[1, 2], [2, 4]]), num_items=6) == 0.5


def test_popularity_percentile_by_hand():
    # Counts 9, 5, 5, 1: percentiles 7/8, 4/8, 4/8, 1/8.
    assert mean_popularity_percentile(np.array([[1, 2], [3, 4]]), np.array([9, 5, 5, 1])) == pytest.approx(0.5)
    assert mean_popularity_percentile(np.array([[1]]), np.array([9, 5, 5, 1])) == pytest.approx(7 / 8)
