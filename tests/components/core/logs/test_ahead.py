import threading

import pytest

from components.core.logs.ahead import map_ahead


def test_results_come_in_order_and_inputs_are_taken_as_they_are_used():
    taken = []

    def inputs():
        for number in range(10):
            taken.append(number)
            yield number

    results = map_ahead(lambda number: number**2, inputs(), num_threads=2, num_ahead=3)
    assert next(results) == 0
    assert taken == [0, 1, 2, 3]
    assert list(results) == [number**2 for number in range(1, 10)]


def test_an_error_reaches_who_uses_the_results():
    results = map_ahead(lambda number: 1 // number, [1, 0], num_threads=1, num_ahead=1)
    with pytest.raises(ZeroDivisionError):
        list(results)


def test_whoever_stops_early_waits_for_the_work_that_was_begun():
    finished = threading.Event()
    results = map_ahead(lambda number: number and finished.set(), [0, 1, 2], num_threads=1, num_ahead=1)
    next(results)
    results.close()
    assert finished.is_set()
