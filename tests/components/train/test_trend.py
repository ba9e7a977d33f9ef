import numpy as np
import pytest

from components.train.trend import log_trend


def test_log_trend_by_hand():
    # 100 events, the last 5 of them recent: item 1 gone, item 2 everywhere lately, item 3 never.
    items = np.array([1] * 95 + [2] * 5, np.int32)
    # They differ from the expected 4.75, 0.25 and 0 by 4.75, 4.75 and 0, where chance explains 0.95 * 5 of the squares.
    shape = (4.75**2 + 0.25**2) / (2 * 4.75**2 - 0.95 * 5)
    expected = np.log([shape / (4.75 + shape), (5 + shape) / (0.25 + shape), 1.0])
    np.testing.assert_allclose(log_trend(items, num_items=3), expected, rtol=1e-6)


def test_unknown_items_have_no_part_in_it():
    np.testing.assert_array_equal(log_trend(np.zeros(40, np.int32), num_items=2), [0.0, 0.0])


def test_too_few_events_say_nothing():
    np.testing.assert_array_equal(log_trend(np.array([1, 2], np.int32), num_items=2), [0.0, 0.0])


def test_counts_that_vary_no_more_than_by_chance_have_no_trend():
    steady = np.tile(np.arange(1, 11, dtype=np.int32), 100)
    np.testing.assert_array_equal(log_trend(steady, num_items=10), np.zeros(10))


def test_the_shape_of_the_ratios_is_found():
    rng = np.random.default_rng(0)
    num_items, mean, shape = 2_000, 50, 4.0
    ids = np.arange(1, num_items + 1, dtype=np.int32)
    older = np.repeat(ids, 19 * mean)
    recent = rng.choice(ids, len(older) // 19, p=rng.dirichlet(np.full(num_items, shape)))
    items = np.concatenate([older, recent])
    trend = log_trend(items, num_items=num_items).astype(np.float64)
    expected, count = 0.05 * np.bincount(items)[1:], np.bincount(recent)[1:]
    is_apart = np.abs(trend) > 0.1
    count, expected, ratio = count[is_apart], expected[is_apart], np.exp(trend[is_apart])
    found = np.median((count - ratio * expected) / (ratio - 1))  # solved for the shape
    # The expected counts include 5% of the recent ones, so only 95% of each deviation is seen.
    assert found == pytest.approx(shape / 0.95**2, rel=0.1)
