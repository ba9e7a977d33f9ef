import numpy as np
import pytest

from components.core.metrics import Bootstrap
from components.evaluate.breakdowns import DAY, NOT_SEEN, group_by_recency, group_intervals, summarize_groups


def test_recency_by_hand():
    last_seen = np.array([100 * DAY, 80 * DAY, 10 * DAY, NOT_SEEN])
    targets = np.array([1, 1, 1, 2, 3, 4, 0], np.int32)
    times = np.array([99, 101, 102, 105, 105, 105, 105], np.int64) * DAY
    groups = {
        name: np.flatnonzero(group).tolist() for name, group in group_by_recency(targets, times, last_seen).items()
    }
    # Item 1 before its last event, and after 1 and 2 days; item 2 after 25, item 3 after 95; 4 and unknown: never seen.
    assert groups == {"up to 1 day": [0, 1], "1 to 7 days": [2], "7 to 30 days": [3], "over 30 days": [4]}


def test_the_interval_of_a_group_is_that_of_its_targets_alone():
    rng = np.random.default_rng(0)
    ranks, session = rng.integers(1, 40, 600), np.repeat(np.arange(200), 3)
    group = np.repeat(rng.random(200) < 0.5, 3)
    bootstrap = Bootstrap(session)
    made = group_intervals(bootstrap, ranks, {"some": group, "none": np.zeros(600, bool), "all": group | True}, 20)
    assert made.keys() == {"some", "all"}
    assert made["all"]["recall@20"] == bootstrap.interval((ranks <= 20).astype(float))
    # Brute force: the mean over the drawn sessions' targets in the group, resample by resample.
    hits, sizes = (np.bincount(session, each).astype(int) for each in ((ranks <= 20) & group, group))
    means = [(draw @ hits) / (draw @ sizes) for draw in bootstrap.draws.astype(int)]
    assert made["some"]["recall@20"] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=1e-6)
    assert summarize_groups(ranks, {"some": group}, 20)["some"]["num_targets"] == group.sum()


def test_resamples_without_a_target_of_the_group_are_left_out():
    low, high = Bootstrap(np.arange(3)).interval(np.array([1.0, 0.0, 0.0]), among=np.array([True, False, False]))
    assert (low, high) == (1.0, 1.0)
