import numpy as np
import pyarrow as pa
import pytest

from components.sessionize.visits import sort_visits

YEAR_MS = 365 * 24 * 60 * 60 * 1000


@pytest.mark.parametrize("key_bits", [63, 12])  # as if there were as many visitors as fill the other bits
@pytest.mark.parametrize(("scale", "span_ms"), [(1, 40), (2**54, 200 * YEAR_MS)])
def test_visitors_stay_together_each_in_the_order_of_time_and_item(monkeypatch, key_bits, scale, span_ms):
    monkeypatch.setattr("components.sessionize.visits.KEY_BITS", key_bits)
    rng = np.random.default_rng(0)
    num = 3000
    columns = {
        "visitor": rng.integers(0, 30, num) * scale,
        "item": rng.integers(0, 12, num) + scale,
        "counts": rng.random(num) < 0.5,
        "time": rng.integers(0, 40, num) * (span_ms // 40),
    }
    given = pa.table(columns).to_pylist()
    found = sort_visits(pa.table(columns)).to_pylist()
    visitors = [row["visitor"] for row in found]
    changes = [row for row in range(1, num) if visitors[row] != visitors[row - 1]]
    assert len(changes) == len(set(visitors)) - 1 == 29
    for begin, end in zip([0, *changes], [*changes, num], strict=True):
        own = [row for row in given if row["visitor"] == visitors[begin]]
        order = [(row["time"], row["item"]) for row in found[begin:end]]
        assert order == sorted((row["time"], row["item"]) for row in own)
        assert sum(row["counts"] for row in found[begin:end]) == sum(row["counts"] for row in own)


def test_no_events_stay_none():
    empty = {"visitor": pa.array([], pa.int32()), "item": pa.array([], pa.int32()), "time": pa.array([], pa.int64())}
    assert sort_visits(pa.table(empty)).num_rows == 0
