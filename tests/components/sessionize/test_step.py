import gzip
from collections import Counter
from dataclasses import replace

import gru4rec_reference as reference
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.events import SPLITS, read_split
from components.core.intake.draft import Acceptance
from components.sessionize.step import SessionizeParameters, sessionize

DAY_MS = 24 * 60 * 60 * 1000
END = 1_442_545_200_000  # 2015-09-18T03:00Z


def write_log(path, seed=0, *, num_events=6000, num_visitors=300, num_items=80, days=40, prefix=""):
    """A log with long and short gaps, repeats, ties and sessions over midnight, in no order."""
    rng = np.random.default_rng(seed)
    visitor = rng.integers(0, num_visitors, num_events)
    visit = END - rng.integers(0, days * DAY_MS, num_visitors * 3)
    time = np.minimum(
        visit[visitor * 3 + rng.integers(0, 3, num_events)] + rng.integers(0, 150, num_events) * 60_000, END
    )
    item = rng.zipf(1.4, num_events) % num_items
    event = rng.choice(["view", "addtocart", "transaction"], num_events, p=[0.8, 0.15, 0.05])
    log = pd.DataFrame({"timestamp": time, "visitorid": visitor, "event": event, "itemid": item, "transactionid": ""})
    if prefix:
        log[["visitorid", "itemid"]] = prefix + log[["visitorid", "itemid"]].astype(str)
    log.to_csv(path, index=False)
    return path


def events_of(events_dir, split):
    table = read_split(events_dir, split).to_pandas().astype({"session_id": str, "item_id": str})
    starts = table.groupby("session_id")["time"].transform("min")
    in_order = table.assign(start=starts).sort_values(["start", "session_id", "time"], kind="stable")
    assert in_order.index.is_monotonic_increasing
    return list_sessions(table["session_id"], table["item_id"], table["time"])


def expected_of(log):
    return list_sessions(log["session"], log["item"].astype(str), log["time"])


def list_sessions(names, items, times):
    """The events of each session in their order, without its name."""
    sessions = {}
    for name, *event in zip(names.tolist(), items.tolist(), times.tolist(), strict=True):
        sessions.setdefault(name, []).append(tuple(event))
    return sorted(map(tuple, sessions.values()))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("prefix", ["", "id "])
def test_equals_the_reference(tmp_path, seed, prefix):
    path = write_log(tmp_path / "log.csv", seed, prefix=prefix)
    report = sessionize(str(path), tmp_path / "events", SessionizeParameters())
    expected = reference.prepare(reference.read(path, ids_as=str if prefix else int))
    for split in SPLITS:
        assert len(expected[split]) == report.splits[split].num_events > 0
        assert events_of(tmp_path / "events", split) == expected_of(expected[split])


@pytest.mark.slow
def test_many_events_equal_the_reference(tmp_path, monkeypatch):
    """Several batches for each window, shards in each stream, parts, and slices of a split."""
    monkeypatch.setattr("components.sessionize.staged_log.PART_EVENTS", 10_000)
    monkeypatch.setattr("components.sessionize.slices.SLICE_EVENTS", 2048)
    path = write_log(tmp_path / "log.csv", num_events=40_000, num_visitors=2000, num_items=200)
    report = sessionize(str(path), tmp_path / "events", SessionizeParameters())
    log = reference.read(path, ids_as=int)
    expected = reference.prepare(log)
    for split in SPLITS:
        assert events_of(tmp_path / "events", split) == expected_of(expected[split])
    assert pq.ParquetFile(tmp_path / "events" / "train.parquet").num_row_groups > 5
    views = log[log["event"] == "view"]
    assert report.findings["duplicates"] == views.duplicated(["visitor", "time", "item"]).sum() > 0


def test_a_session_longer_than_a_slice_stays_one(tmp_path, monkeypatch):
    monkeypatch.setattr("components.sessionize.slices.SLICE_EVENTS", 1000)
    path = write_log(tmp_path / "log.csv", num_visitors=100)
    start = END - 9 * DAY_MS
    rows = [f"{start + 1000 * row},500,view,{row % 60},\n" for row in range(9000)]
    path.write_text(path.read_text() + "".join(rows))
    sessionize(str(path), tmp_path / "events", SessionizeParameters(max_session_events=0))
    expected = reference.prepare(reference.read(path, ids_as=int))
    assert expected["valid"].groupby("session").size().max() == 9000
    for split in SPLITS:
        assert events_of(tmp_path / "events", split) == expected_of(expected[split])


@pytest.mark.slow
def test_sessions_that_start_at_once_are_in_the_order_of_their_names(tmp_path, monkeypatch):
    """More of them than a slice holds, so that it is only known at the end which one comes first."""
    monkeypatch.setattr("components.sessionize.slices.SLICE_EVENTS", 1000)
    path = write_log(tmp_path / "log.csv", num_visitors=100)
    starts = [END - 9 * DAY_MS + (visitor // 2000) for visitor in range(6000)]
    rows = [
        f"{start + row},{visitor},view,{row},\n" for visitor, start in enumerate(starts, 500) for row in (10_000, 1, 2)
    ]
    path.write_text(path.read_text() + "".join(rows))
    sessionize(str(path), tmp_path / "events", SessionizeParameters())
    expected = reference.prepare(reference.read(path, ids_as=int))
    for split in SPLITS:
        assert events_of(tmp_path / "events", split) == expected_of(expected[split])


def test_a_visitor_in_files_with_and_without_texts_is_one(tmp_path):
    path = write_log(tmp_path / "log.csv")
    sessionize(str(path), tmp_path / "alone", SessionizeParameters())
    header, *lines = path.read_text().splitlines()
    for half in range(2):
        rows = [header, *lines[half::2], *[f"{END},no number,view,{half},"] * half]
        (tmp_path / f"half-{half}.csv").write_text("\n".join(rows) + "\n")
    sessionize(str(tmp_path / "half-*.csv"), tmp_path / "events", SessionizeParameters())
    for split in SPLITS:
        assert read_split(tmp_path / "events", split).equals(read_split(tmp_path / "alone", split))


def test_texts_at_one_time_are_in_the_order_of_their_length_in_characters(tmp_path, monkeypatch):
    monkeypatch.setattr("components.sessionize.slices.SLICE_EVENTS", 1000)
    path = write_log(tmp_path / "log.csv", num_items=700)
    log = pd.read_csv(path)
    log["timestamp"] -= log["timestamp"] % 3_600_000
    log["itemid"] = log["itemid"].map(lambda item: ["z", "é", "bb", "日本", "ü2", f"i{item}"][min(item % 9, 5)])
    log.to_csv(path, index=False)
    parameters = SessionizeParameters(as_of="2015-09-18T03:00Z", min_item_support=1)
    sessionize(str(path), tmp_path / "events", parameters)
    expected = reference.prepare(reference.read(path), end=END, min_item_count=1)
    for split in SPLITS:
        assert events_of(tmp_path / "events", split) == expected_of(expected[split])
    train = pq.ParquetFile(tmp_path / "events" / "train.parquet", read_dictionary=["item_id"])
    assert train.num_row_groups > 1
    for group in range(train.num_row_groups):
        items = train.read_row_group(group)["item_id"].combine_chunks()
        assert len(items.dictionary) == len(items.unique())


@pytest.mark.parametrize("offset", [2**31 - 150, 2**59])
def test_ids_of_any_size_make_equal_sessions(tmp_path, offset):
    """Numbers below and above 32 bits and, in the second case, too large to sort beside a time."""
    path = write_log(tmp_path / "small.csv")
    sessionize(str(path), tmp_path / "small", SessionizeParameters())
    log = pd.read_csv(path)
    log["visitorid"] += offset
    (tmp_path / "large").mkdir()
    for half in range(2):
        log[half * 3000 : (half + 1) * 3000].to_csv(tmp_path / "large" / f"{half}.csv", index=False)
    sessionize(str(tmp_path / "large"), tmp_path / "events", SessionizeParameters())
    for split in SPLITS:
        assert events_of(tmp_path / "events", split) == events_of(tmp_path / "small", split)


SETTINGS = [
    ({"max_gap_minutes": 10.0}, {"gap_ms": 600_000}),
    ({"min_session_length": 1}, {"min_session_length": 1}),
    ({"min_session_length": 3, "min_item_support": 40}, {"min_session_length": 3, "min_item_count": 40}),
    ({"event_types": ("view", "addtocart")}, {"event_types": ("view", "addtocart")}),
    ({"as_of": "2015-09-10"}, {"end": 1_441_843_200_000}),
    ({"as_of": "2015-09-10T02:00:00.001+02:00", "window_days": 22}, {"end": 1_441_843_200_001, "window_days": 22}),
    ({"test_days": 3, "valid_days": 3}, {"days": 3}),
]


@pytest.mark.parametrize(("settings", "of_reference"), SETTINGS)
def test_every_number_is_a_parameter(tmp_path, settings, of_reference):
    path = write_log(tmp_path / "log.csv")
    sessionize(str(path), tmp_path / "events", SessionizeParameters(**settings))
    expected = reference.prepare(reference.read(path, ids_as=int), **of_reference)
    for split in SPLITS:
        assert events_of(tmp_path / "events", split) == expected_of(expected[split])


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore")  # pyspark 4.0 was written for pandas 2
@pytest.mark.parametrize("prefix", ["", "id "])
def test_spark_makes_equal_sessions(tmp_path, spark, prefix):
    path = write_log(tmp_path / "log.csv", prefix=prefix)
    folders = {"duckdb": tmp_path / "duckdb", "spark": tmp_path / "lr=[0.002] {a,b} *" / "spark"}
    for engine, folder in folders.items():
        sessionize(str(path), folder, SessionizeParameters(sessionize_engine=engine))
    for split in SPLITS:
        ours, theirs = (read_split(folder, split).to_pylist() for folder in folders.values())
        assert ours == theirs


def test_a_visitor_by_hand(tmp_path):
    hour = 60 * 60 * 1000
    boundary = END - 7 * DAY_MS
    rows = [
        ("w", boundary - 2, "view", "1"), ("w", boundary - 1, "view", "2"), ("w", boundary, "view", "1"),  # cut
        ("x", boundary - 1, "view", "1"), ("x", boundary, "view", "2"), ("x", boundary + 1, "view", "1"),  # too short
        ("y", boundary, "view", "1"), ("y", boundary + hour, "addtocart", "2"), ("y", boundary + 2 * hour, "view", "2"),
        ("z", boundary, "view", "1"), ("z", boundary + hour, "view", "1"), ("z", boundary + 2 * hour + 1, "view", "2"),
        ("v", boundary - 8 * DAY_MS, "view", "1"), ("v", boundary - 8 * DAY_MS + 1, "view", "2"),
        ("u", boundary - 3 * DAY_MS, "view", "1"), ("u", boundary - 3 * DAY_MS + 1, "view", "2"),
    ]  # fmt: skip
    path = tmp_path / "log.tsv"
    lines = ["visitorid\ttimestamp\tevent\titemid", *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    parameters = SessionizeParameters(as_of="2015-09-18T03:00Z", min_item_support=1)
    sessionize(str(path), tmp_path / "events", parameters)
    sessions = {split: Counter(read_split(tmp_path / "events", split)["session_id"].to_pylist()) for split in SPLITS}
    assert sessions == {
        "train": {f"v-{boundary - 8 * DAY_MS}": 2},
        "valid": {f"u-{boundary - 3 * DAY_MS}": 2, f"w-{boundary - 2}": 2},
        "test": {f"y-{boundary}": 2},
    }


def test_formats_make_no_difference(tmp_path):
    path = write_log(tmp_path / "log.csv")
    sessionize(str(path), tmp_path / "events", SessionizeParameters())
    log = pd.read_csv(path)
    days = tmp_path / "days"
    days.mkdir()
    log[:2000].to_parquet(days / "1.parquet")
    (days / "2.csv.gz").write_bytes(gzip.compress(log[2000:4000].to_csv(index=False).encode()))
    text = log[4000:].to_csv(index=False, sep="\t").encode()
    (days / "3.tsv.zst").write_bytes(pa.compress(text, codec="zstd", asbytes=True))
    sessionize(str(days), tmp_path / "again", SessionizeParameters())
    for split in SPLITS:
        assert read_split(tmp_path / "again", split).equals(read_split(tmp_path / "events", split))


@pytest.mark.parametrize("name", ["lr=[0.002]*", 'it\'s "here" 日本 é=3'])
def test_folders_of_any_name_are_read_and_written(tmp_path, name):
    (tmp_path / name).mkdir()
    path = write_log(tmp_path / name / "log.csv")
    (tmp_path / "lr=0").mkdir()  # which the first name matches as a pattern
    (tmp_path / "lr=0" / "log.csv").write_text("nothing")
    sessionize(f"{tmp_path / name}/*.csv", tmp_path / name / "events", SessionizeParameters())
    expected = reference.prepare(reference.read(path, ids_as=int))
    for split in SPLITS:
        assert events_of(tmp_path / name / "events", split) == expected_of(expected[split])


def test_too_many_rejected_lines_end_the_step_and_are_left(tmp_path):
    path = write_log(tmp_path / "log.csv")
    path.write_text(path.read_text() + "bad line\n" * 100)
    with pytest.raises(ValueError, match=r"Received: 100 of 6,100\. .* All rejected lines are in .*rejected\.parquet$"):
        sessionize(str(path), tmp_path / "events", SessionizeParameters())
    assert [path.name for path in (tmp_path / "events").iterdir()] == ["rejected.parquet"]
    assert pq.read_table(tmp_path / "events" / "rejected.parquet")["line"].to_pylist() == list(range(6002, 6102))


def test_ids_of_both_kinds_stay_apart(tmp_path):
    path = write_log(tmp_path / "1.csv")
    odd = ["view,007,1e5", "view,007,9007199254740993", "view,7,00", "view,7,0"]
    lines = [f"{END - 60_000 + row},{row % 2},{text}" for row, text in enumerate(odd)]
    header = "timestamp,transactionid,event,visitorid,itemid"
    (tmp_path / "2.csv").write_text("\n".join([header, *lines]) + "\n")
    sessionize(str(tmp_path / "*.csv"), tmp_path / "events", SessionizeParameters(min_item_support=1))
    test = read_split(tmp_path / "events", "test").to_pylist()
    start = f"007-{END - 60_000}"
    assert [row["item_id"] for row in test if row["session_id"] == start] == ["1e5", "9007199254740993"]
    assert path.exists()


def test_bad_lines_and_findings(tmp_path):
    path = write_log(tmp_path / "log.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1], "what,is,this", f"{END},1,view,"]))
    acceptance = Acceptance(max_rejected_share=0.01)
    report = sessionize(str(path), tmp_path / "events", SessionizeParameters(acceptance=acceptance))
    assert (report.num_lines, report.num_rejected) == (6003, 2)
    assert report.findings["cut_files"] == 1
    assert report.findings["backward_times"] > 1000
    rejected = pq.read_table(tmp_path / "events" / "rejected.parquet").to_pylist()
    assert [row["line"] for row in rejected] == [6003, 6004]
    strict = SessionizeParameters(acceptance=replace(acceptance, data_errors=("backward_times",)))
    with pytest.raises(ValueError, match="findings that are errors"):
        sessionize(str(path), tmp_path / "strict", strict)


def test_a_file_of_rejected_lines_makes_no_difference(tmp_path):
    path = write_log(tmp_path / "log.csv", prefix="id ")
    (tmp_path / "bad.csv").write_text(path.read_text().splitlines()[0] + "\nwhat,is,this\n")
    report = sessionize(str(tmp_path / "*.csv"), tmp_path / "events", SessionizeParameters())
    assert report.num_rejected == 1
    alone = sessionize(str(path), tmp_path / "alone", SessionizeParameters())
    assert report.splits == alone.splits


def test_a_window_without_events_says_so(tmp_path):
    path = write_log(tmp_path / "log.csv")
    with pytest.raises(ValueError, match=r"Expected at least one event in test\. Received: none"):
        sessionize(str(path), tmp_path / "events", SessionizeParameters(as_of="2001-01-01"))
    assert not (tmp_path / "events").exists()


@pytest.mark.parametrize(
    "wrong",
    [{"as_of": "tomorrow"}, {"sessionize_engine": "pandas"}, {"event_types": ()}, {"test_days": 0},
     {"max_gap_minutes": -1.0},
     {"max_gap_minutes": float("inf")}, {"window_days": -1}, {"window_days": 10**9},
     {"min_session_length": 101}, {"min_item_support": 0}, {"sessionize_memory_gib": float("nan")}],
)  # fmt: skip
def test_parameters_are_checked(wrong):
    with pytest.raises(ValueError, match=f"Expected .*{next(iter(wrong))}"):
        SessionizeParameters(**wrong)
