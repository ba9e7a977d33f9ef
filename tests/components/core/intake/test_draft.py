import gzip
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from broken_lines import COLUMNS, HEADER
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.core.intake.draft import Acceptance, EventsDraft
from components.core.logs.files import find_files
from components.core.logs.reader import read_log


def read(folder, source, limit):
    """Reads a log as far as the bound on rejected lines lets it, and gives the number of lines."""
    with EventsDraft(folder / "events", Acceptance(max_rejected_share=limit)) as draft:
        for batch in read_log(find_files(str(source)), COLUMNS):
            draft.count(batch)
        draft.check_lines()
        return draft.num_lines


def write(folder, number, suffix, are_good):
    lines = HEADER + b"".join(b"s\ti\t5\n" if is_good else b"\n" for is_good in are_good)
    path = folder / f"{number}.{suffix}"
    if suffix == "parquet":
        times = pa.array([5 if is_good else -1 for is_good in are_good], pa.int64())
        ids = ["i"] * len(are_good)
        pq.write_table(pa.table({"SessionId": ids, "ItemId": ids, "Time": times}), path)
    elif suffix == "tsv":
        path.write_bytes(lines)
    else:
        path.write_bytes(pa.compress(lines, codec={"gz": "gzip", "zst": "zstd"}[suffix], asbytes=True))


FILES = st.lists(
    st.tuples(st.sampled_from(["tsv", "gz", "zst", "parquet"]), st.lists(st.booleans(), max_size=60)),
    min_size=1,
    max_size=3,
)


@settings(max_examples=80, deadline=None)
@given(FILES, st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 0.9, 1.0]))
@example([("tsv", [False] * 20 + [True] * 20)], 0.5)
@example([("gz", [False] * 20 + [True] * 20)], 0.5)
@example([("tsv", [False] * 20), ("parquet", [True] * 20)], 0.5)
@example([("parquet", [False] * 20), ("zst", [True] * 20)], 0.5)
def test_reading_stops_early_only_where_reading_on_would_refuse_too(tmp_path_factory, files, limit):
    folder = tmp_path_factory.mktemp("draft")
    (folder / "log").mkdir()
    for number, (suffix, are_good) in enumerate(files):
        write(folder / "log", number, suffix, are_good)
    lines = [is_good for _, are_good in files for is_good in are_good]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("components.core.logs.reader.BLOCK_BYTES", 16)
        patch.setattr("components.core.logs.reader.BATCH_ROWS", 4)
        if lines.count(False) > limit * len(lines):
            with pytest.raises(ValueError, match=r"Expected at most .* of the lines to be rejected"):
                read(folder, folder / "log", limit)
        elif not any(lines):
            reason = f"{len(lines):,} lines?, none of which is accepted. {len(lines):,} x " if lines else "no rows$"
            with pytest.raises(ValueError, match=f"Expected at least one event in the log. Received: {reason}"):
                read(folder, folder / "log", limit)
        else:
            assert read(folder, folder / "log", limit) == len(lines)


def test_reading_stops_with_the_line_after_which_the_bound_is_out_of_reach(tmp_path, monkeypatch):
    """An accepted line has 6 bytes at least. After 401 of 1,000 lines of 4 bytes, 2,396 bytes are left: 399 lines."""
    monkeypatch.setattr("components.core.logs.reader.BLOCK_BYTES", 4)  # a line at a time
    (tmp_path / "log.tsv").write_bytes(HEADER + b"bad\n" * 1000)
    with pytest.raises(ValueError, match=r"Received: 401 of 401 so far, with at most 399 to follow\. 401 x wrong"):
        read(tmp_path, tmp_path / "log.tsv", 0.5)
    assert pq.read_metadata(tmp_path / "events" / "rejected.parquet").num_rows == 401


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plain", HEADER + b"\n" * 3_000_000),
        ("gzip", gzip.compress(HEADER + b"\n" * 30_000_000)),
        ("zstd", pa.compress(HEADER + b"\n" * 30_000_000, codec="zstd", asbytes=True)),
    ],
)
def test_blank_lines_are_not_read_to_their_end(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match="so far, with at most") as error:
        read(tmp_path, tmp_path / name, 0.01)
    num_read = int(str(error.value).split(" so far")[0].split()[-1].replace(",", ""))
    assert num_read <= 2 * 2**21 < 30_000_000


@pytest.mark.parametrize(
    "line",
    [b"\n", b"12345678\t1234\t1441412644102.5\n", b"12345678\t1234\n", b"12345678\t12\x0034\t1441412644102\n",
     b"12345678\t12\xff34\t1441412644102\n", b"12345678\t\t1441412644102\n", b"x" * 300 + b"\t1234\t1441412644102\n"],
)  # fmt: skip
def test_rejected_lines_take_no_longer_than_a_few_times_accepted_ones(tmp_path, line):
    """In processor time. Line by line in Python it was 40 to 100 times."""
    (tmp_path / "good.tsv").write_bytes(HEADER + b"12345678\t1234\t1441412644102\n" * 200_000)
    (tmp_path / "bad.tsv").write_bytes(HEADER + b"1\t2\t3\n" + line * 200_000)

    def measure(name):
        begin = time.process_time()
        assert read(tmp_path, tmp_path / name, 1.0) in (200_000, 200_001)
        return time.process_time() - begin

    measure("good.tsv")
    assert min(measure("bad.tsv") for _ in range(3)) < 12 * max(0.02, min(measure("good.tsv") for _ in range(3)))


def test_rejected_lines_are_written_as_texts_that_any_reader_understands(tmp_path):
    (tmp_path / "log.tsv").write_bytes(HEADER + b"\nbad\nx\t\xff\0\t5\n")
    with pytest.raises(ValueError, match="All rejected lines are in "):
        read(tmp_path, tmp_path / "log.tsv", 0.5)
    path = tmp_path / "events" / "rejected.parquet"
    assert [field.type for field in pq.read_schema(path)] == [pa.string(), pa.int64(), pa.string(), pa.string()]
    source = str(tmp_path / "log.tsv")
    assert duckdb.read_parquet(str(path)).fetchall() == [
        (source, 2, "blank line", ""),
        (source, 3, "wrong number of fields, not 3", "bad"),
        (source, 4, "NUL byte", "x\t\\xff\\x00\t5"),
    ]


def test_rejected_lines_here_and_there_do_not_make_a_row_group_each(tmp_path, monkeypatch):
    monkeypatch.setattr("components.core.logs.reader.BLOCK_BYTES", 100)
    (tmp_path / "log.tsv").write_bytes(HEADER + (b"s\ti\t5\n" * 50 + b"bad\n") * 100)
    with pytest.raises(ValueError, match=r"100 x wrong number of fields, not 3, such as line 52 of"):
        read(tmp_path, tmp_path / "log.tsv", 0.0195)
    metadata = pq.read_metadata(tmp_path / "events" / "rejected.parquet")
    assert (metadata.num_rows, metadata.num_row_groups) == (100, 1)


def raise_in_draft(folder, work):
    with EventsDraft(folder / "events", Acceptance()) as draft:
        work(draft)


def query_what_is_not_there(draft):
    duckdb.connect().from_parquet(str(draft.dir / "nothing.parquet"))


def open_what_is_not_there(draft):
    duckdb.connect(draft.dir / "nowhere" / "log.duckdb")


def query_what_is_broken(draft):
    path = draft.dir / "broken.parquet"
    path.write_bytes(b"PAR1" + b"x" * 100 + b"PAR1")
    duckdb.connect().from_parquet(str(path))


def sort_without_memory(draft):
    with duckdb.connect() as connection:
        connection.execute("SET memory_limit = '10MB'; SET temp_directory = ''")
        connection.execute("CREATE TABLE numbers AS SELECT hash(range) AS number FROM range(5_000_000)")


def raise_that_it_is_denied(_):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(
    "work",
    [
        query_what_is_not_there,
        open_what_is_not_there,
        query_what_is_broken,
        sort_without_memory,
        raise_that_it_is_denied,
    ],
)
def test_errors_that_are_none_of_a_full_disk_stay_what_they_are(tmp_path, work):
    with pytest.raises((duckdb.Error, PermissionError)) as error:
        raise_in_draft(tmp_path, work)
    assert "Expected room" not in str(error.value)
    assert not list(tmp_path.iterdir())


def sort_beyond_the_disk(draft):
    with duckdb.connect(draft.dir / "log.duckdb") as connection:
        connection.execute("SET memory_limit = '20MB'; SET max_temp_directory_size = '1MB'")
        connection.execute("CREATE TEMP TABLE numbers AS SELECT hash(range) AS number FROM range(5_000_000)")


def test_what_does_not_fit_beside_the_events_is_a_full_disk(tmp_path):
    with pytest.raises(OSError, match="Expected room for the events and for sorting them in "):
        raise_in_draft(tmp_path, sort_beyond_the_disk)


@pytest.mark.parametrize("name", ["what?", "back\\slash"])
def test_a_path_that_the_sorting_cannot_use_is_refused_at_once(name):
    with pytest.raises(ValueError, match=r"Expected a path without \? and \\ for the events\. Received: /"):
        EventsDraft(Path(name) / "events", Acceptance())
