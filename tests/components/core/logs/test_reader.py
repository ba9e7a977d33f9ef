import gzip
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from broken_lines import COLUMNS, HEADER, mutate, read, read_by_hand
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.core.logs.columns import LogColumns, LogForm
from components.core.logs.files import find_files
from components.core.logs.reader import read_log

PIECES = st.sampled_from(
    [b"\t", b"\t", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xc3\xa9", b"1", b"007", b"1e5", b"-5", b" ", b'"', b"",
     b"1441412644102", b"9007199254740993", b"7289654400000", b"7289654399999", b"x" * 300, b"s\ti\t1\n",
     b"\xed\xa0\x80", b"5\t12\t1\n", b"0x7FFFFFFFFFFFFFFF", b"+5", b"00", b"9223372036854775807"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=25))
@example([b"s\ti\t1\r"])
@example([b"\n\n"])
def test_every_line_is_accepted_or_rejected_as_a_reading_by_hand_does(tmp_path_factory, pieces):
    path = tmp_path_factory.mktemp("log") / "log.tsv"
    path.write_bytes(HEADER + b"".join(pieces))
    assert read(path) == read_by_hand(path.read_bytes())


def test_a_mutated_log_loses_nothing(tmp_path):
    path = tmp_path / "log.tsv"
    for line in (b"s%d\ti%d\t%d\n", b"%d\t%d\t%d\n", b"%d\ti%d\t%d\r\n"):
        clean = b"".join(line % (row // 3, row % 7, 1441412644102 + row) for row in range(40))
        for seed in range(80):
            path.write_bytes(HEADER + mutate(clean, seed))
            assert read(path) == read_by_hand(path.read_bytes())


def test_ids_are_numbers_only_where_each_is_in_its_shortest_form(tmp_path):
    path = tmp_path / "log.tsv"
    for lines, is_whole in (
        (b"1\t20\t5\n10\t2\t6\n", True),
        (b"1\t20\t5\n10\t2\t6", True),
        (b"1\t20\t5\r\n10\t2\t6\r\n", True),
        (b"1\t20\t5\nbroken\n10\t2\t6\n", True),
        (b"1\t20\t5\n10\t02\t6\n", False),
        (b"1\t20\t5\n10\t 2\t6\n", False),
        (b"1\t20\t5\n10\t0x7FFFFFFFFFFFFFFF\t06\n", False),  # as long as both numbers in decimal digits
        (b"1\t20\t5\n10\ttwo\t6\n", False),
    ):
        path.write_bytes(HEADER + lines)
        batches = list(read_log(find_files(str(path)), COLUMNS))
        assert {batch.events["SessionId"].type for batch in batches} == {pa.int64()}
        assert (batches[0].events["ItemId"].type == pa.int64()) == is_whole, lines
        assert read(path) == read_by_hand(path.read_bytes())


@pytest.mark.parametrize(
    "text", ["1e5", "007", "9007199254740993", '"quoted"', " spaced ", "né", "NA", "null", "\ufeffx"]
)
def test_ids_stay_the_text_they_are(tmp_path, text):
    (tmp_path / "log.tsv").write_bytes(HEADER + f"{text}\t{text}\t5\n".encode())
    assert read(tmp_path / "log.tsv") == ([(2, text, text, 5)], [])


@pytest.mark.parametrize("name", ["log.tsv", "log.tsv.gz", "log.tsv.zst"])
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_compression_byte_order_mark_and_line_ends(tmp_path, name, prefix, end):
    data = prefix + end.join([b"Time\tSessionId\tcolour\tItemId", b"5\ta\tred\tx", b"6\ta\t\ty"])
    if name.endswith(".gz"):
        data = gzip.compress(data[:9]) + gzip.compress(data[9:])
    elif name.endswith(".zst"):
        data = pa.compress(data, codec="zstd", asbytes=True)
    (tmp_path / name).write_bytes(data)
    batches = list(read_log(find_files(str(tmp_path / name)), COLUMNS))
    assert [row for batch in batches for row in batch.events.to_pylist()] == [
        {"SessionId": "a", "ItemId": "x", "Time": 5},
        {"SessionId": "a", "ItemId": "y", "Time": 6},
    ]
    assert batches[-1].is_cut


def test_lines_are_numbered_over_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("components.core.logs.reader.BLOCK_BYTES", 50)
    lines = [b"s\ti\t%d\n" % row if row % 10 else b"bad line %d\n" % row for row in range(500)]
    (tmp_path / "log.tsv").write_bytes(HEADER + b"".join(lines))
    accepted, rejected = read(tmp_path / "log.tsv")
    assert [time for _, _, _, time in accepted] == [row for row in range(500) if row % 10]
    assert [(line, text) for line, _, text in rejected] == [(row + 2, f"bad line {row}") for row in range(0, 500, 10)]


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("components.core.logs.parts.MAX_LINE_BYTES", 1000)
    monkeypatch.setattr("components.core.logs.reader.BLOCK_BYTES", 100)
    (tmp_path / "log.tsv").write_bytes(HEADER + b"x" * 2000)
    with pytest.raises(ValueError, match=r"Expected lines of at most 1000 bytes in .*log\.tsv"):
        read(tmp_path / "log.tsv")


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_compressed_file_that_is_cut_off_says_so(tmp_path, codec):
    lines = b"".join(b"s%d\ti%d\t%d\n" % (row, row * 7919 % 1000, row) for row in range(5000))
    data = pa.compress(HEADER + lines, codec=codec, asbytes=True)
    path = tmp_path / ("log.tsv." + {"gzip": "gz", "zstd": "zst"}[codec])
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"Expected to read .*log\.tsv\.\w+ to its end"):
        read(path)


def test_a_file_that_shrinks_while_it_is_read_says_so(tmp_path):
    path = tmp_path / "log.tsv"
    path.write_bytes(HEADER + b"s\ti\t1\n" * 100)
    files = find_files(str(path))
    path.write_bytes(HEADER + b"s\ti\t1\n")
    with pytest.raises(ValueError, match="cut while it was read"):
        list(read_log(files, COLUMNS))


def test_a_file_that_disappears_says_so(tmp_path):
    for name in ("1.tsv", "2.tsv"):
        (tmp_path / name).write_bytes(HEADER + b"s\ti\t1\n")
    files = find_files(str(tmp_path))
    batches = read_log(files, COLUMNS)
    next(batches)
    (tmp_path / "2.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"Expected .*2\.tsv to stay where it was"):
        list(batches)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "an empty file"),
        (b"SessionId\tItem\tTime\n", r"Received: \['SessionId', 'Item', 'Time'\]"),
        (b"SessionId\tItemId\tTime\tTime\n", "once in"),
        (b"SessionId ItemId Time\n", r"separated by '\\t'"),
        (b'"SessionId"\t"ItemId"\t"Time"\n', "The names have quotes: set quoting=rfc4180"),
        (b"12\t214\t1396867869277\n", "If the first line is an event, set column_names"),
    ],
)
def test_a_header_without_the_columns_says_so(tmp_path, text, message):
    (tmp_path / "log.tsv").write_bytes(text)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "log.tsv")


def test_parquet_rows_go_through_the_same_checks(tmp_path):
    long = "x" * 257
    table = pa.table(
        {
            "SessionId": pa.array([b"a", b"\xff", None, b"a\0", b"a", b"a", b"a"], pa.binary()),
            "ItemId": ["007", "i", "i", "i", long, "i", "i"],
            "Time": pa.array([5, 5, 5, 5, 5, None, -1], pa.int64()),
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    accepted, rejected = read(tmp_path / "log.parquet")
    assert accepted == [(1, "a", "007", 5)]
    assert [(line, reason) for line, reason, _ in rejected] == [
        (2, "invalid UTF-8"), (3, "empty SessionId"), (4, "NUL byte"), (5, "ItemId of over 256 bytes"),
        (6, "empty Time"), (7, "Time is negative"),
    ]  # fmt: skip


def test_parquet_with_numbers_and_timestamps(tmp_path):
    times = pa.array([5_000_000, 6_000_000], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"SessionId": [1, 2], "ItemId": [2**53 + 1, 7], "Time": times}), tmp_path / "log.parquet")
    assert read(tmp_path / "log.parquet") == ([(1, "1", "9007199254740993", 5), (2, "2", "7", 6)], [])


def read_times(folder, times, **options):
    """What becomes of each row of a Parquet file with these times: the time, or the reason against the row."""
    ids = ["i"] * len(times)
    pq.write_table(pa.table({"SessionId": ids, "ItemId": ids, "Time": times}), folder / "log.parquet", **options)
    accepted, rejected = read(folder / "log.parquet")
    found = {line: time for line, _, _, time in accepted} | {line: reason for line, reason, _ in rejected}
    return [found[line] for line in range(1, len(times) + 1)]


NEGATIVE, LATE, MISSING = "Time is negative", "Time is beyond the year 2200", "empty Time"
LAST_MS = 7_289_654_399_999  # of the year 2200


@pytest.mark.parametrize(
    ("kind", "values", "found"),
    [
        (pa.uint64(), [5, LAST_MS, LAST_MS + 1, 2**63, 2**64 - 1, None], [5, LAST_MS, LATE, LATE, LATE, MISSING]),
        (pa.int64(), [LAST_MS + 1, 2**63 - 1, -(2**63), None], [LATE, LATE, NEGATIVE, MISSING]),
        (pa.uint8(), [0, 255, None], [0, 255, MISSING]),
        (pa.null(), [None, None], [MISSING, MISSING]),
        (pa.timestamp("ms", "Asia/Tokyo"), [LAST_MS, LAST_MS + 1, -1, 2**62], [LAST_MS, LATE, NEGATIVE, LATE]),
        (pa.timestamp("us"), [1_999, 1000 * LAST_MS + 999, 1000 * LAST_MS + 1000, -1, 2**62],
         [1, LAST_MS, LATE, NEGATIVE, LATE]),
        (pa.timestamp("ns"), [1_999_999, 10**6 * LAST_MS, 10**6 * (LAST_MS + 1), -1, -(2**62), None],
         [1, LAST_MS, LATE, NEGATIVE, NEGATIVE, MISSING]),
    ],
)  # fmt: skip
def test_a_time_out_of_range_refuses_its_row(tmp_path, kind, values, found):
    assert read_times(tmp_path, pa.array(values, kind)) == found
    if kind != pa.null():
        dictionary = pa.array(values, kind).dictionary_encode()
        assert read_times(tmp_path, dictionary) == found


@pytest.mark.parametrize(("scale", "unit"), [(3, 1), (0, 1_000)])
def test_times_in_decimals_are_exact(tmp_path, scale, unit):
    """As some databases export numbers; here seconds with a fraction, and milliseconds."""
    expected = [1_430_444_460_836, 1_430_444_461_000]
    times = pa.array([Decimal(time) * unit / 1_000 for time in expected], pa.decimal128(38, scale))
    pq.write_table(pa.table({"SessionId": ["s"] * 2, "ItemId": ["i"] * 2, "Time": times}), tmp_path / "log.parquet")
    columns = LogColumns(text=("SessionId", "ItemId"), time="Time")
    assert [time for *_, time in read(tmp_path / "log.parquet", columns)[0]] == expected


def test_old_timestamps_do_not_become_others(tmp_path):
    """Of 96 bits, which as nanoseconds in 64 bits wrap around: the year 9999 was 1816."""
    times = pa.array([datetime(9999, 12, 31), datetime(2020, 1, 1), datetime(1, 1, 1)], pa.timestamp("us"))
    options = {"use_deprecated_int96_timestamps": True}
    assert read_times(tmp_path, times, **options) == [LATE, 1_577_836_800_000, NEGATIVE]


def test_rejected_times_are_shown_in_utc_or_as_the_number_they_are(tmp_path):
    ids, times = ["i"] * 3, pa.array([-1, LAST_MS + 1, 2**62], pa.timestamp("ms", "Asia/Tokyo"))
    pq.write_table(pa.table({"SessionId": ids, "ItemId": ids, "Time": times}), tmp_path / "log.parquet")
    assert [text for _, _, text in read(tmp_path / "log.parquet")[1]] == [
        "i\ti\t1969-12-31 23:59:59.999", "i\ti\t2201-01-01 00:00:00.000", f"i\ti\t<value out of range: {2**62}>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (pa.array([7, -5, None], pa.int8()), ["7", "-5", "empty ItemId"]),
        (pa.array([2**64 - 1, 0], pa.uint64()), [str(2**64 - 1), "0"]),
        (pa.array([7, 8, 7]).dictionary_encode(), ["7", "8", "7"]),
        (pa.array(["a", "b", None], pa.large_string()).dictionary_encode(), ["a", "b", "empty ItemId"]),
        (pa.array(["a", "é"], pa.string_view()), ["a", "é"]),
        (pa.array([b"a", b"\xff", None], pa.binary_view()), ["a", "invalid UTF-8", "empty ItemId"]),
        (pa.array([b"a", b""], pa.large_binary()), ["a", "empty ItemId"]),
        (pa.array([b"\xc3", b"\xa9"]), ["invalid UTF-8", "invalid UTF-8"]),  # the bytes of one character
        (pa.array(["a\n", "a\r", "a\tb"]), ["a\n", "a\r", "a\tb"]),
        (pa.nulls(2), ["empty ItemId", "empty ItemId"]),
        (pa.array([Decimal(10) ** 37, Decimal(-5), None], pa.decimal128(38, 0)),
         [str(10**37), "-5", "empty ItemId"]),
        (pa.array([Decimal(7), Decimal(7)], pa.decimal128(9, 0)).dictionary_encode(), ["7", "7"]),
    ],
)  # fmt: skip
def test_an_id_of_any_exact_type_is_read_or_refuses_its_row(tmp_path, ids, found):
    times = list(range(len(ids)))
    pq.write_table(pa.table({"SessionId": ["s"] * len(ids), "ItemId": ids, "Time": times}), tmp_path / "log.parquet")
    accepted, rejected = read(tmp_path / "log.parquet")
    by_line = {line: item for line, _, item, _ in accepted} | {line: reason for line, reason, _ in rejected}
    assert [by_line[line] for line in range(1, len(ids) + 1)] == found


NOT_EXACT = [
    pa.time64("us"), pa.bool_(), pa.duration("s"), pa.list_(pa.int64()), pa.struct([("a", pa.int64())]),
]  # fmt: skip


@pytest.mark.parametrize("kind", [*NOT_EXACT, pa.binary(), pa.float16(), pa.float32()])
def test_times_of_other_types_are_refused_at_once(tmp_path, kind):
    pq.write_table(pa.table({"SessionId": ["s"], "ItemId": ["i"], "Time": pa.nulls(1, kind)}), tmp_path / "log.parquet")
    with pytest.raises(
        ValueError,
        match=r"Expected whole numbers, doubles, decimals, timestamps, dates or text in the column Time of ",
    ):
        read_log(find_files(str(tmp_path / "log.parquet")), COLUMNS)


@pytest.mark.parametrize(
    "kind",
    [
        *NOT_EXACT,
        pa.decimal128(20, 2),
        pa.float16(),
        pa.float32(),
        pa.float64(),
        pa.date32(),
        pa.binary(4),
        pa.timestamp("ms"),
    ],
)
def test_ids_of_other_types_are_refused_at_once(tmp_path, kind):
    pq.write_table(pa.table({"SessionId": pa.nulls(1, kind), "ItemId": ["i"], "Time": [5]}), tmp_path / "log.parquet")
    with pytest.raises(ValueError, match=r"Expected text or whole numbers in the column SessionId of .*\. Received: "):
        read_log(find_files(str(tmp_path / "log.parquet")), COLUMNS)


def test_a_parquet_column_that_is_there_twice_is_refused(tmp_path):
    table = pa.table([["s"], ["i"], [5], [6]], names=["SessionId", "ItemId", "Time", "Time"])
    pq.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(ValueError, match=r"Expected each of the columns .* once in .*log\.parquet"):
        read(tmp_path / "log.parquet")


def test_parquet_that_breaks_off_inside_says_so(tmp_path):
    ids = [f"id {number}" for number in range(10_000)]
    table = pa.table({"SessionId": ids, "ItemId": ids, "Time": list(range(10_000))})
    pq.write_table(table, tmp_path / "log.parquet", compression="zstd", use_dictionary=False)
    data = bytearray((tmp_path / "log.parquet").read_bytes())
    data[100:2000] = bytes(1900)
    (tmp_path / "log.parquet").write_bytes(data)
    with pytest.raises(ValueError, match=r"Expected to read .*log\.parquet to its end"):
        read(tmp_path / "log.parquet")


def test_broken_parquet_says_so(tmp_path):
    (tmp_path / "log.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(ValueError, match=r"Expected .*log\.parquet to be Parquet"):
        read(tmp_path / "log.parquet")


@pytest.mark.parametrize(
    "wrong",
    [
        {"time": "SessionId"},
        {"time_offset": "Time"},
        {"text": ("", "b")},
        {"form": LogForm(column_names=("SessionId", "Time"))},
    ],
)
def test_columns_are_checked(wrong):
    with pytest.raises(ValueError, match=r"Expected .* Received: "):
        LogColumns(**{"text": ("SessionId", "ItemId"), "time": "Time", **wrong})


@pytest.mark.parametrize(
    "wrong",
    [{"delimiter": "\x1f"}, {"delimiter": "é"}, {"delimiter": "\n"}, {"max_id_bytes": 0}, {"time_format": "ms"},
     {"quoting": "yes"}, {"column_names": ("SessionId", "ItemId", "Time", "Time")}],
)  # fmt: skip
def test_the_form_is_checked(wrong):
    with pytest.raises(ValueError, match=r"Expected .* Received: "):
        LogForm(**wrong)
