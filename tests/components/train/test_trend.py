import numpy as np

from components.train.trend import log_trend


def test_log_trend_by_hand():
    # 100 events, the last 5 of them recent: item 1 gone, item 2 everywhere lately, item 3 never.
    items = np.array([1] * 95 + [2] * 5, np.int32)
    expected = np.log([1 / (1 + 0.05 * 95), 6 / (1 + 0.05 * 5), 1.0])
    np.testing.assert_allclose(log_trend(items, num_items=3), expected, rtol=1e-6)


def test_unknown_items_have_no_part_in_it():
    np.testing.assert_array_equal(log_trend(np.zeros(40, np.int32), num_items=2), [0.0, 0.0])


def test_too_few_events_say_nothing():
    assert np.abs(log_trend(np.array([1, 2], np.int32), num_items=2)).max() < 0.06
