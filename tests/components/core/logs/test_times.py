from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from broken_lines import read_events
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.logs.columns import LogColumns, LogForm
from components.core.logs.files import find_files
from components.core.logs.reader import read_log
from components.core.logs.times import TimeFormat

FIRST_MS, LIMIT_MS = 788_918_400_000, 7_289_654_400_000
DETECTED = st.integers(FIRST_MS, LIMIT_MS - 1)


def iso(ms, *, separator="T", zone=UTC, digits=3, end="%z"):
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    text = time.astimezone(zone).strftime(f"%Y-%m-%d{separator}%H:%M:%S.%f")[: 20 + digits].rstrip(".")
    offset = time.astimezone(zone).strftime("%z")
    return text + {"%z": offset, "colon": f"{offset[:3]}:{offset[3:]}"}.get(end, end)


WRITE = {
    "seconds since 1970": lambda ms: f"{ms // 1000}.{ms % 1000:03}",
    "milliseconds since 1970": str,
    "microseconds since 1970": lambda ms: str(ms * 1000 + 999),
    "nanoseconds since 1970": lambda ms: str(ms * 1_000_000 + 999_999),
    "ISO 8601 with time zone": lambda ms: iso(ms, end="Z"),
    "ISO 8601 without time zone (UTC assumed)": lambda ms: iso(ms, separator=" ", end=""),
}


def columns(**form):
    return LogColumns(text=("s", "i"), time="t", form=LogForm(**form))


def write(folder, texts, name="log.tsv"):
    (folder / name).write_text("s\ti\tt\n" + "".join(f"s\ti\t{text}\n" for text in texts))
    return folder / name


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(WRITE)), st.lists(DETECTED, min_size=1, max_size=20))
def test_a_format_is_detected_and_each_time_is_read_as_what_it_is(tmp_path_factory, kind, times):
    path = write(tmp_path_factory.mktemp("log"), map(WRITE[kind], times))
    [batch] = read_log(find_files(str(path)), columns())
    assert batch.times == kind
    assert batch.events["t"].to_pylist() == times


@settings(max_examples=100, deadline=None)
@given(DETECTED, st.integers(-14 * 60, 14 * 60), st.sampled_from(["T", " "]), st.sampled_from(["%z", "colon"]))
def test_iso_times_with_any_offset(ms, minutes, separator, end):
    zone = timezone(timedelta(minutes=minutes))
    texts = pa.array([iso(ms, separator=separator, zone=zone, end=end), iso(ms, end=" UTC"), iso(ms, end="Z")])
    times, failed = TimeFormat(name="iso", has_zone=True).parse(texts, "t")
    assert times.tolist() == [ms] * 3
    assert not failed


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 7_289_654_399), st.text("0123456789", min_size=1, max_size=9))
def test_fractions_of_seconds_are_rounded_to_milliseconds(seconds, digits):
    exact = (seconds + Fraction(int(digits), 10 ** len(digits))) * 1000
    alone, _ = TimeFormat(name="seconds").parse(pa.array([f"{seconds}.{digits}"]), "t")
    beside, _ = TimeFormat(name="seconds").parse(pa.array([f"{seconds}.{digits}", "5"]), "t")
    for [ms, *_] in (alone, beside):
        assert ms == int(exact + Fraction(1, 2))


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2014-04-07", 1396828800000), ("2014-04-07 10", 1396864800000), ("2014-04-07T10:51", 1396867860000),
        ("2014-04-07T10:51:09", 1396867869000), ("2014-04-07 10:51:09.2775", 1396867869277),
        ("1970-01-01", 0), ("2200-12-31T23:59:59.999999999", LIMIT_MS - 1),
    ],
)  # fmt: skip
def test_iso_times_may_be_short(text, ms):
    times, failed = TimeFormat(name="iso").parse(pa.array([text]), "t")
    assert (times.tolist(), failed) == ([ms], [])


NOT_ISO = "t is not a time without time zone such as 2015-05-01T01:41:00"


@pytest.mark.parametrize(
    ("time_format", "good", "bad"),
    [
        ("iso", "2014-04-07T10:51:09",
         {"2014-02-30": NOT_ISO, "2014-04-07T24:00": NOT_ISO, "2014-04-07T10:51:60": NOT_ISO, "20140407": NOT_ISO,
          "2014-4-7": NOT_ISO, "2014-04-07T10:51:09Z": NOT_ISO, "2014-04-07T10:51:09+02:00": NOT_ISO,
          " 2014-04-07": NOT_ISO,
          "": "empty t", "1969-12-31": "t is before 1970", "0001-01-01": "t is before 1970",
          "2201-01-01": "t is beyond the year 2200", "9999-12-31": "t is beyond the year 2200"}),
        ("auto", "1396867869277",
         {"1396867869": "t is before 1995 in milliseconds", "1": "t is before 1995 in milliseconds",
          "1396867869277000": "t is beyond the year 2200", "-1396867869277": "t is negative", "": "empty t",
          "+1396867869277": "t is not a number of milliseconds", "1.396e12": "t is not a number of milliseconds",
          "1,396,867,869,277": "t is not a number of milliseconds", "0x14": "t is not a number of milliseconds",
          "2014-04-07": "t is not a number of milliseconds", "nan": "t is not a number of milliseconds"}),
        ("seconds", "1396867869.277",
         {"1396867869277": "t is beyond the year 2200", "1396867869.": "t is not a number of seconds",
          ".277": "t is not a number of seconds", "1.2.3": "t is not a number of seconds",
          "-1.5": "t is negative", "9" * 20: "t is not a number of seconds"}),
        ("nanoseconds", "1396867869277000000", {"9" * 19: "t is beyond the year 2200", "": "empty t"}),
    ],
)  # fmt: skip
def test_a_time_in_another_format_refuses_its_line(tmp_path, time_format, good, bad):
    path = write(tmp_path, [good] * 2000 + [*bad, good])
    accepted, rejected = read_events(path, columns(time_format=time_format))
    assert len(accepted) == 2001
    assert [(reason, text) for _, reason, text in rejected] == [(bad[text], f"s\ti\t{text}") for text in bad]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["1396867869277"] * 10 + ["1396867869"] * 10,
         "10 x milliseconds, such as 1396867869277; 10 x seconds, such as 1396867869"),
        (["2014-04-07T10:51:09"] * 5 + ["2014-04-07T10:51:09Z"] * 5, "several formats: 5 x ISO 8601 without"),
        (["1", "2", "3"], "3 of the first 3 times are numbers that are no times from 1995.* time_format=milliseconds"),
        (["20140407"] * 3, "3 of the first 3 times are dates written as numbers.* Write them in ISO"),
        (["2014040713"], "dates written as numbers"),
        (["201404071330"], "dates written as numbers"),
        (["20140407133059"], "dates written as numbers"),
        (["635324070692770000"], "numbers that are no times from 1995 on"),  # .NET ticks
        (["130413414692770000"], "numbers that are no times from 1995 on"),  # a Windows file time
        (["418560669.277"], "numbers that are no times from 1995 on"),  # seconds since 2001
        (["50000000000"], "numbers that are no times from 1995 on"),  # seconds of 3554, milliseconds of 1971
        (["05/03/2015"], "neither plain numbers nor times that are read, such as '05/03/2015'"),
        (["1.5e12"], "neither plain numbers nor times that are read"),
        (["20150501T014100Z"], "ISO 8601 with hyphens, colons and a decimal point, such as 2015-05-01, 2015-05-01T01"),
        (["2015-05-01T01:41:00,277Z"], "ISO 8601 with hyphens, colons and a decimal point"),
    ],
)  # fmt: skip
def test_times_that_fit_no_format_or_several_refuse_the_file(tmp_path, texts, message):
    path = write(tmp_path, texts)
    with pytest.raises(ValueError, match=message):
        read_log(find_files(str(path)), columns())


def test_the_format_is_detected_for_each_file(tmp_path):
    write(tmp_path, ["1396867869277"], "1.tsv")
    write(tmp_path, ["1396867869"], "2.tsv")
    batches = list(read_log(find_files(str(tmp_path)), columns()))
    assert [batch.times for batch in batches] == ["milliseconds since 1970", "seconds since 1970"]
    assert [batch.events["t"].to_pylist() for batch in batches] == [[1396867869277], [1396867869000]]


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_a_date_and_milliseconds_since_it(tmp_path, name):
    table = {"s": ["1"] * 4, "i": ["2"] * 4, "day": ["2016-05-09"] * 4, "ms": ["526309", "0", "-1", "x"]}
    if name == "log.csv":
        rows = "".join(";".join(row) + "\n" for row in zip(*table.values(), strict=True))
        (tmp_path / name).write_text("s;i;day;ms\n" + rows)
    else:
        pq.write_table(pa.table({**table, "ms": [526309, 0, -1, None]}), tmp_path / name)
    found = read_events(tmp_path / name, LogColumns(text=("s", "i"), time="day", time_offset="ms"))
    assert found[0] == [("1", "2", 1462752526309), ("1", "2", 1462752000000)]
    last = "ms is not a number of milliseconds" if name == "log.csv" else "empty ms"
    assert [reason for _, reason, _ in found[1]] == ["ms is negative", last]


MS = 1396867869277


@pytest.mark.parametrize(
    ("times", "kind"),
    [
        (pa.array([MS / 1000]), "seconds since 1970"), (pa.array([float(MS)]), "milliseconds since 1970"),
        (pa.array([MS * 1000]), "microseconds since 1970"),
        (pa.array([MS * 10**6], pa.uint64()), "nanoseconds since 1970"),
        (pa.array([MS], pa.timestamp("ms")), "Parquet timestamp[ms]"),
        (pa.array([MS * 1000], pa.timestamp("us", "Asia/Tokyo")), "Parquet timestamp[us, tz=Asia/Tokyo]"),
        (pa.array([iso(MS, end="Z")]), "ISO 8601 with time zone"),
        (pa.array([iso(MS, end="Z")]).dictionary_encode(), "ISO 8601 with time zone"),
        (pa.array([str(MS)]), "milliseconds since 1970"),
    ],
)  # fmt: skip
def test_parquet_times_of_any_type(tmp_path, times, kind):
    pq.write_table(pa.table({"s": ["s"], "i": ["i"], "t": times}), tmp_path / "log.parquet")
    [batch] = read_log(find_files(str(tmp_path / "log.parquet")), columns())
    assert (batch.events["t"].to_pylist(), batch.times) == ([MS], kind)


def test_parquet_dates_and_seconds_in_float(tmp_path):
    days = pa.array([16167, None], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"s": ["s"] * 2, "i": ["i"] * 2, "t": days}), tmp_path / "log.parquet")
    assert read_events(tmp_path / "log.parquet", columns())[0] == [("s", "i", 1396828800000)]
    values = pa.array([MS / 1000, np.nan, None, np.inf, -1.0, 5.0])
    pq.write_table(pa.table({"s": ["s"] * 6, "i": ["i"] * 6, "t": values}), tmp_path / "log.parquet")
    accepted, rejected = read_events(tmp_path / "log.parquet", columns(time_format="seconds"))
    assert accepted == [("s", "i", MS), ("s", "i", 5000)]
    assert [reason for _, reason, _ in rejected] == ["empty t", "empty t", "t is beyond the year 2200", "t is negative"]


def test_iso_is_refused_for_numbers(tmp_path):
    pq.write_table(pa.table({"s": ["s"], "i": ["i"], "t": [MS]}), tmp_path / "log.parquet")
    with pytest.raises(ValueError, match=r"Expected ISO 8601 times, because of time_format=iso.* Received: int64"):
        read_log(find_files(str(tmp_path / "log.parquet")), columns(time_format="iso"))
