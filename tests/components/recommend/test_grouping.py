"""The grouping of events into sessions, on disk."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.logs.files import find_files
from components.recommend import grouping
from components.recommend.grouping import group_sessions
from components.recommend.parameters import RecommendParameters


def group(table, folder, *, part_sessions=1_000, part_events=1 << 20, **values):
    """The parts, each a list of session id and item ids."""
    pq.write_table(table, folder / "log.parquet")
    work_dir = folder / "work [1]*"
    work_dir.mkdir()
    group_sessions(
        find_files(str(folder / "log.parquet")),
        work_dir,
        folder / "sessions.parquet",
        folder / "rejected.parquet",
        RecommendParameters(**values),
        part_sessions=part_sessions,
        part_events=part_events,
    )
    assert not (work_dir / "events.parquet").exists()
    file = pq.ParquetFile(folder / "sessions.parquet")
    parts = [file.read_row_group(number).to_pylist() for number in range(file.num_row_groups)]
    return [[(row["session_id"], row["item_ids"]) for row in part] for part in parts]


@pytest.mark.parametrize("batch_rows", [1, 7, 1_000])
@pytest.mark.parametrize("max_session_events", [1, 4, 100])
def test_sessions_are_those_of_a_sort_in_memory(tmp_path, monkeypatch, batch_rows, max_session_events):
    monkeypatch.setattr(grouping, "BATCH_ROWS", batch_rows)
    rng = np.random.default_rng(batch_rows)
    rows = [(f"s{rng.geometric(0.1)}é", f"i{number}", int(rng.integers(0, 5))) for number in range(300)]
    expected = {}
    for session, item, _ in sorted(rows, key=lambda row: row[2]):
        expected.setdefault(session, []).append(item)
    session, item, time = (list(column) for column in zip(*rows, strict=True))
    table = pa.table({"SessionId": session, "ItemId": item, "Time": [1_700_000_000_000 + each for each in time]})
    [part] = group(table, tmp_path, max_session_events=max_session_events)
    assert part == [
        (session, expected[session][-max_session_events:])
        for session in sorted(expected, key=lambda each: each.encode())
    ]


def test_a_part_has_few_sessions_and_few_events_and_at_least_one_session(tmp_path):
    lengths = {"a": 2, "b": 2, "c": 1, "d": 9, "e": 1, "f": 1, "g": 1, "h": 1}
    sessions = [session for session, length in lengths.items() for _ in range(length)]
    table = pa.table({"SessionId": sessions, "ItemId": ["i"] * len(sessions), "Time": [1_700_000_000] * len(sessions)})
    parts = group(table, tmp_path, part_sessions=3, part_events=4)
    assert [[session for session, _ in part] for part in parts] == [["a", "b"], ["c"], ["d"], ["e", "f", "g"], ["h"]]


@pytest.mark.slow
def test_a_log_larger_than_the_memory_limit_is_sorted_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(grouping, "MEMORY", "128MiB")
    num_rows = 600_000  # with 200 bytes of each item id, more than the limit
    times = 1_700_000_000_000 + np.arange(num_rows)
    items = pa.DictionaryArray.from_arrays(
        pa.array(np.arange(num_rows) % 1_000, pa.int32()), [f"{each:0200}" for each in range(1_000)]
    )
    sessions = pa.DictionaryArray.from_arrays(
        pa.array(np.arange(num_rows) % 200_000, pa.int32()), [f"{each:06}" for each in range(200_000)]
    )
    table = pa.table({"SessionId": sessions, "ItemId": items, "Time": times})
    parts = group(table, tmp_path, part_sessions=50_000)
    assert [len(part) for part in parts] == [50_000] * 4
    last = parts[-1][-1]
    assert last == ("199999", [f"{each % 1_000:0200}" for each in (199_999, 399_999, 599_999)])


def test_a_sort_that_fails_says_where(tmp_path, monkeypatch):
    monkeypatch.setattr(grouping, "MEMORY", "1KiB")
    table = pa.table({"SessionId": ["a"] * 5_000, "ItemId": ["i"] * 5_000, "Time": [1_700_000_000] * 5_000})
    with pytest.raises(OSError, match=r"The events could not be sorted in .*work \[1\]\*: Out of Memory"):
        group(table, tmp_path)
