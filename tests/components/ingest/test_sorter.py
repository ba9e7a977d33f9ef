from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.events import SCHEMA
from components.core.intake import ordering
from components.core.intake.ordering import Sample
from components.core.intake.split_counter import MERGE_AFTER, SplitCounter
from components.core.logs.clean_lines import to_whole_numbers
from components.ingest.sorter import EventSorter, encode_ids

SESSION_IDS = st.sampled_from(["a", "b", "10", "9", "11", "ä"])
ITEM_IDS = st.sampled_from(["x", "7", "77777", "070"])
ROWS = st.lists(st.tuples(SESSION_IDS, ITEM_IDS, st.integers(0, 6)), max_size=40)


def sort_batches(rows, folder, *, sample=None, max_rows_in_memory=1000, batch_rows=3):
    folder.mkdir(exist_ok=True)
    sorter = EventSorter(folder, sample, max_rows_in_memory=max_rows_in_memory)
    for begin in range(0, len(rows), batch_rows):
        session, item, time = zip(*rows[begin : begin + batch_rows], strict=True)
        ids = [to_whole_numbers(pa.array(texts)) for texts in (session, item)]
        columns = [*ids, pa.array(time, pa.int64())]
        sorter.add(encode_ids(pa.RecordBatch.from_arrays(columns, names=SCHEMA.names)))
    return list(sorter.sorted_batches())


def sort(rows, folder, **options):
    batches = sort_batches(rows, folder, **options)
    for batch in batches:
        assert np.unique(batch.sessions).tolist() == list(range(len(batch.session_ids)))
    tables = [batch.to_table() for batch in batches]
    return [row for table in tables for row in zip(*(table[name].to_pylist() for name in SCHEMA.names), strict=True)]


def expected(rows):
    start = {}
    for session, _, time in rows:
        start[session] = min(time, start.get(session, time))
    return sorted(rows, key=lambda row: (start[row[0]], row[0].encode(), row[2]))


def test_order_is_session_start_then_session_then_time(tmp_path):
    shuffled = [("b", "x", 9), ("late", "x", 50), ("a", "y", 7), ("b", "z", 5), ("a", "w", 5), ("late", "y", 2)]
    # "late" starts first, at 2; a and b both start at 5.
    assert sort(shuffled, tmp_path) == [
        ("late", "y", 2), ("late", "x", 50), ("a", "w", 5), ("a", "y", 7), ("b", "z", 5), ("b", "x", 9),
    ]  # fmt: skip


@settings(deadline=None)
@given(ROWS)
def test_any_rows_are_sorted_and_equal_ones_keep_their_order(tmp_path_factory, rows):
    assert sort(rows, tmp_path_factory.mktemp("spill")) == expected(rows)


@settings(deadline=None)
@given(ROWS, st.integers(1, 12))
def test_batches_are_whole_sessions_with_the_ids_of_their_events_alone(tmp_path_factory, rows, batch_rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "BATCH_ROWS", batch_rows)
        tables = [batch.to_table() for batch in sort_batches(rows, tmp_path_factory.mktemp("spill"))]
    assert [row for table in tables for row in zip(*table.to_pydict().values(), strict=True)] == expected(rows)
    sessions = [set(table["session_id"].to_pylist()) for table in tables]
    assert sum(map(len, sessions)) == len(set.union(set(), *sessions))
    assert all(table.num_rows > batch_rows for table in tables[:-1])
    for table in tables:
        for name in ("session_id", "item_id"):
            [ids] = table[name].chunks
            assert sorted(ids.dictionary.to_pylist()) == sorted(set(ids.to_pylist()))


@settings(max_examples=25, deadline=None)
@given(st.lists(ROWS, max_size=MERGE_AFTER + 3), st.integers(1, 12))
def test_items_are_counted_over_batches_that_share_their_ids_and_that_do_not(tmp_path_factory, logs, batch_rows):
    counter = SplitCounter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "BATCH_ROWS", batch_rows)
        for rows in logs:
            for batch in sort_batches(rows, tmp_path_factory.mktemp("spill")):
                counter.add(batch)
    counts = counter.item_counts()
    assert len(set(counts["item_id"].to_pylist())) == counts.num_rows
    found = dict(zip(*(column.to_pylist() for column in counts.columns), strict=True))
    assert found == Counter(item for rows in logs for _, item, _ in rows)


@settings(max_examples=15, deadline=None)
@given(ROWS.filter(len))
def test_sorting_on_disk_is_sorting_in_memory(tmp_path_factory, rows):
    assert sort(rows, tmp_path_factory.mktemp("spill"), max_rows_in_memory=0) == expected(rows)


@pytest.mark.parametrize(
    ("name", "neighbour"),
    [("lr=[0]", "lr=0"), ("a*b", "axb"), ("time=5", "time"), ("it's", "its"), ('"日本 é"', "é")],
)
def test_a_folder_is_not_taken_for_a_pattern(tmp_path, name, neighbour):
    sort([("other", "x", 1)], tmp_path / neighbour, max_rows_in_memory=0)
    rows = [("b", "x", 9), ("a", "y", 7), ("b", "z", 5)]
    assert sort(rows, tmp_path / name, max_rows_in_memory=0) == expected(rows)


@pytest.mark.parametrize("unit", ["sessions", "events"])
def test_a_sample_is_the_same_on_disk(tmp_path, unit):
    rows = [(f"s{number % 50}", "x", number) for number in range(200)]
    sample = Sample(fraction=0.3, unit=unit, seed=7)
    kept = sort(rows, tmp_path / "memory", sample=sample)
    assert len(kept) == 60
    assert kept == sort(rows, tmp_path / "disk", sample=sample, max_rows_in_memory=10)
