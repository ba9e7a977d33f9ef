import gzip
import math
import re
import subprocess
import sys
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from broken_lines import MILLISECONDS

from components.core.events import SPLITS, read_split
from components.core.intake.acceptance import ERRORS, Acceptance
from components.core.intake.data_report import DataReport
from components.core.intake.drift import Bounds, DriftBounds
from components.ingest.step import IngestParameters, ingest

HEADER = "SessionId\tItemId\tTime\n"


def accepting(*, acceptance=Acceptance(), **settings):  # noqa: B008
    """Parameters with which one small log can be all three splits."""
    allowed = tuple(set(ERRORS) - set(acceptance.data_errors))
    return IngestParameters(form=MILLISECONDS, acceptance=replace(acceptance, allowed_findings=allowed), **settings)


def write(folder, text, name="log.tsv"):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return dict.fromkeys(SPLITS, path)


def rows(events_dir, split="train"):
    table = read_split(events_dir, split)
    return list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))


@pytest.mark.parametrize("name", ["log.tsv", "log.tsv.gz"])
def test_ids_stay_the_text_they_are(tmp_path, name):
    sources = write(tmp_path, HEADER + "007\t1e5\t1\n007\t9007199254740993\t2\n", name)
    ingest(sources, tmp_path / "events", accepting())
    assert rows(tmp_path / "events") == [("007", "1e5", 1), ("007", "9007199254740993", 2)]


def test_column_names_are_parameters_and_other_columns_are_left(tmp_path):
    sources = write(tmp_path, "when\twhat\tcolour\twho\n5\tx\tred\ta\n4\ty\tblue\ta\n")
    parameters = accepting(session_column="who", item_column="what", time_column="when")
    ingest(sources, tmp_path / "events", parameters)
    assert rows(tmp_path / "events") == [("a", "y", 4), ("a", "x", 5)]


def test_a_missing_file_says_so(tmp_path):
    sources = dict.fromkeys(SPLITS, tmp_path / "nowhere.tsv")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tsv"):
        ingest(sources, tmp_path / "events", accepting())


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "Expected .*log.tsv"), (HEADER, "Expected"), ("SessionId\tItem\tTime\na\tb\t1\n", "Expected .*ItemId")],
)
def test_an_empty_file_or_a_missing_column_says_so(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        ingest(write(tmp_path, text), tmp_path / "events", accepting())


def long_log(folder):
    lines = [f"s{number // 4}\ti{number}\t{number}\n" for number in range(400)]
    return write(folder, HEADER + "".join(lines))


def test_sampled_sessions_stay_whole(tmp_path):
    ingest(long_log(tmp_path), tmp_path / "events", accepting(sample_fraction=0.3))
    sessions = [session for session, _, _ in rows(tmp_path / "events")]
    assert len(sessions) == 120
    assert all(sessions.count(session) == 4 for session in sessions)


def test_sampled_events_are_a_share_of_the_rows(tmp_path):
    parameters = accepting(sample_fraction=0.3, sample_unit="events")
    ingest(long_log(tmp_path), tmp_path / "events", parameters)
    kept = rows(tmp_path / "events")
    assert len(kept) == 120
    assert len({session for session, _, _ in kept}) > 60
    assert kept == sorted(kept, key=lambda row: row[2])


def test_sampling_depends_on_the_seed_alone(tmp_path):
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        ingest(long_log(tmp_path), tmp_path / name, accepting(sample_fraction=0.5, random_seed=seed))
    assert rows(tmp_path / "first") == rows(tmp_path / "again")
    assert rows(tmp_path / "first") != rows(tmp_path / "other")


@pytest.mark.parametrize("setting", [{"sample_fraction": 0.0}, {"sample_fraction": 1.1}, {"sample_unit": "users"}])
def test_parameters_are_checked(setting):
    with pytest.raises(ValueError, match=f"Expected {next(iter(setting))}"):
        accepting(**setting)


def log_of(*lines):
    return HEADER + "".join(f"{line}\n" for line in lines)


def lenient(**settings):
    return accepting(acceptance=Acceptance(max_rejected_share=1.0, **settings))


def test_accepted_and_rejected_lines_are_all_lines(tmp_path):
    sources = write(tmp_path, log_of("a\tx\t1", "a\tx", "", "a\t\t2", "a\ty\tsoon", "b\tz\t3"))
    report = ingest(sources, tmp_path / "events", lenient())
    assert (report.num_lines, report.num_accepted, report.num_rejected) == (18, 6, 12)
    rejected = pq.read_table(tmp_path / "events" / "rejected.parquet").to_pylist()
    assert [(row["line"], row["reason"], row["text"]) for row in rejected[:4]] == [
        (3, "wrong number of fields, not 3", "a\tx"),
        (4, "blank line", ""),
        (5, "empty ItemId", "a\t\t2"),
        (6, "Time is not a number of milliseconds", "a\ty\tsoon"),
    ]
    assert {row["source"] for row in rejected} == {str(sources["train"])}


def test_too_many_rejected_lines_end_the_step_with_the_commonest_reasons(tmp_path):
    lines = ["a\tx\t1"] * 90 + ["a\tx"] * 4 + ["a\tx\t-1"] * 3 + [""] * 2 + ["a\tx\t1,5"]
    with pytest.raises(ValueError, match=r"Expected at most 1\.00% .* Received: 10 of 100\. 4 x wrong") as error:
        ingest(write(tmp_path, log_of(*lines)), tmp_path / "events", accepting())
    assert "3 x Time is negative, such as line 96 of" in str(error.value)
    assert "2 x blank line" in str(error.value)
    assert "not a number" not in str(error.value)
    path = tmp_path / "events" / "rejected.parquet"
    assert str(error.value).endswith(f". All rejected lines are in {path}")
    rejected = pq.read_table(path).to_pylist()
    assert [row["line"] for row in rejected] == list(range(92, 102))
    assert rejected[-1]["text"] == "a\tx\t1,5"
    assert sorted(path.name for path in (tmp_path / "events").iterdir()) == ["rejected.parquet"]


@pytest.mark.parametrize(
    ("lines", "settings", "message"),
    [
        (["a\tx\t-1", "a\tx\t2", "a\tx\t2"], {"data_errors": ("duplicates",)}, "findings that are errors"),
        (["a\tx\t-1"], {}, "Expected at least one event in"),
    ],
)
def test_rejected_lines_are_left_after_any_refusal_and_nothing_else_is(tmp_path, lines, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        ingest(write(tmp_path, log_of(*lines)), tmp_path / "events", lenient(**settings))
    assert f"All rejected lines are in {tmp_path / 'events' / 'rejected.parquet'}" in str(error.value)
    assert [path.name for path in (tmp_path / "events").iterdir()] == ["rejected.parquet"]


BLANK_LINES = """
import re, sys, time
from pathlib import Path
from components.core.intake.acceptance import ERRORS, Acceptance
from components.core.logs.columns import LogForm
from components.ingest.step import IngestParameters, ingest
form = LogForm(time_format="milliseconds")
begin = time.process_time()
try:
    acceptance = Acceptance(max_rejected_share=float(sys.argv[3]), allowed_findings=ERRORS)
    sources = dict.fromkeys(("train", "valid", "test"), sys.argv[1])
    ingest(sources, Path(sys.argv[2]), IngestParameters(form=form, acceptance=acceptance))
except ValueError as error:
    print(error)
# Not the peak that `resource` gives, which begins with that of the parent.
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(int(peak) / 2**10, time.process_time() - begin)
"""


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_blank_lines_take_neither_memory_nor_time(tmp_path, share):
    """As many took 2 GiB and more than a minute."""
    num_lines = 6 << 20
    (tmp_path / "log.tsv.gz").write_bytes(gzip.compress((HEADER + "\n" * num_lines).encode()))
    ran = subprocess.run(
        [sys.executable, "-c", BLANK_LINES, str(tmp_path / "log.tsv.gz"), str(tmp_path / "events"), str(share)],
        capture_output=True,
        text=True,
        check=True,
    )
    message, used = ran.stdout.splitlines()
    megabytes, seconds = map(float, used.split())
    assert "x blank line, such as line 2 of" in message or share == 1.0
    assert message.endswith(f"All rejected lines are in {tmp_path / 'events' / 'rejected.parquet'}")
    assert megabytes < 700
    assert seconds < 20
    num_read = pq.read_metadata(tmp_path / "events" / "rejected.parquet").num_rows
    assert num_read == num_lines if share == 1.0 else num_read < num_lines


def findings(folder, **texts):
    sources = {
        split: write(folder, texts.get(split, log_of(f"{split}\tx\t9")), f"{split}.tsv")[split] for split in SPLITS
    }
    return ingest(sources, folder / "events", accepting()).findings, sources


NOW = 1441412644102


@pytest.mark.parametrize(
    ("name", "count", "texts"),
    [
        ("duplicates", 2, {"train": log_of("a\tx\t1", "a\ty\t1", "a\tx\t1", "a\tx\t1", "b\tx\t1")}),
        ("backward_times", 1, {"train": log_of("a\tx\t1", "b\tx\t9", "a\ty\t5", "b\tx\t2", "b\tx\t10")}),
        ("sessions_in_two_splits", 2, {"train": log_of("a\tx\t1", "valid\tx\t2", "test\ty\t3")}),
        ("seconds", 3, {"train": log_of(f"a\tx\t{NOW}", f"a\ty\t{NOW // 1000}")}),
        ("cut_files", 1, {"train": HEADER + "a\tx\t1"}),
    ],
)
def test_findings_are_counted_and_errors_on_demand(tmp_path, name, count, texts):
    found, sources = findings(tmp_path, **texts)
    assert found[name] == count
    with pytest.raises(ValueError, match=rf"Expected none of the findings that are errors\. Received: {count} {name}"):
        ingest(sources, tmp_path / "other", accepting(acceptance=Acceptance(data_errors=(name,))))
    assert not (tmp_path / "other").exists()


def test_a_failed_run_leaves_the_artifact_of_the_one_before(tmp_path):
    ingest(write(tmp_path, log_of("a\tx\t1")), tmp_path / "events", accepting())
    with pytest.raises(ValueError, match="rejected"):
        ingest(write(tmp_path, log_of("a\tx\t-1")), tmp_path / "events", accepting())
    assert rows(tmp_path / "events") == [("a", "x", 1)]
    assert pq.read_table(tmp_path / "events" / "rejected.parquet")["reason"].to_pylist() == ["Time is negative"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events", "log.tsv"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from components.ingest import disk_ordering, sorter
from components.core.intake.acceptance import ERRORS, Acceptance
from components.core.logs.columns import LogForm
from components.ingest.step import IngestParameters, ingest
form = LogForm(time_format="milliseconds")
disk_ordering.SORT_MEMORY = "20MB"
sorter.EventSorter.__init__.__kwdefaults__["max_rows_in_memory"] = int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
sources = dict.fromkeys(("train", "valid", "test"), sys.argv[1])
ingest(sources, Path(sys.argv[2]), IngestParameters(form=form, acceptance=Acceptance(allowed_findings=ERRORS)))
"""


@pytest.mark.parametrize(("max_rows_in_memory", "num_bytes"), [(16_000_000, 20_000), (100, 700_000)])
def test_a_full_disk_says_so_and_leaves_nothing(tmp_path, max_rows_in_memory, num_bytes):
    """Whether pyarrow finds it full or DuckDB."""
    lines = [f"s{number}\ti{number * 7919}\t{number * number}" for number in range(20_000)]
    log = write(tmp_path, log_of(*lines))["train"]
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, log, tmp_path / "events", str(max_rows_in_memory), str(num_bytes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"OSError: \[Errno (27|28)\] Expected room for the events", ran.stderr)
    assert ("duckdb" in ran.stderr) == (max_rows_in_memory == 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.tsv"]


def test_the_report_counts_what_is_there(tmp_path):
    sources = {
        "train": write(tmp_path, log_of("a\tx\t1", "a\ty\t2", "b\tx\t5"), "1.tsv")["train"],
        "valid": write(tmp_path, log_of("c\tx\t6", "c\tz\t7"), "2.tsv")["valid"],
        "test": write(tmp_path, log_of("d\ty\t8"), "3.tsv")["test"],
    }
    report = ingest(sources, tmp_path / "events", accepting())
    assert DataReport.read(tmp_path / "events" / "report.json") == report
    train, valid = report.splits["train"], report.splits["valid"]
    assert (train.num_events, train.num_sessions, train.num_items) == (3, 2, 2)
    assert (train.first_time, train.last_time) == (1, 5)
    assert train.session_length == [1, 1, 1, 2, 2, 2, 2]
    assert train.item_popularity == [1, 1, 1, 2, 2, 2, 2]
    assert valid.unknown_item_share == 0.5
    assert "| events | 3 | 2 | 1 |" in (tmp_path / "events" / "report.md").read_text()


def drift(folder, lines, previous, **bounds):
    sources = {**write(folder, log_of("h\tx\t1"), "h.tsv"), "train": write(folder, log_of(*lines), "t.tsv")["train"]}
    wide = dict.fromkeys(("volume", "session_length", "lost_items", "popularity"), "9:9")
    drift_bounds = tuple(f"{name}={bound}" for name, bound in {**wide, **bounds}.items())
    acceptance = Acceptance(previous_events=previous, drift_bounds=drift_bounds)
    return ingest(sources, folder / "events", accepting(acceptance=acceptance)).drift


def test_drift_since_the_previous_run(tmp_path):
    for name in ("before", "now"):
        (tmp_path / name).mkdir()
    before = ["a\tx\t1", "a\ty\t2", "b\tx\t3", "b\ty\t4"]
    assert drift(tmp_path / "before", before, "") == []
    previous = str(tmp_path / "before" / "events")
    assert {each["value"] for each in drift(tmp_path / "now", before, previous)} == {0.0}
    # Twice the events, all of one session, y gone, and half of the events of an item that is new.
    now = ["a\tx\t1"] * 4 + ["a\tz\t2"] * 4
    found = {each["name"]: each["value"] for each in drift(tmp_path / "now", now, previous)}
    assert found == {"volume": 1.0, "session_length": 2.0, "lost_items": 0.5, "popularity": 0.5}
    found = drift(tmp_path / "now", now, previous, volume="0.5:2")
    assert found[0]["verdict"] == "warns"
    with pytest.raises(ValueError, match=r"Expected no drift above its bound\. Received: popularity 0\.500 above 0\.3"):
        drift(tmp_path / "now", now, previous, popularity="0.1:0.3")


def test_a_previous_artifact_that_is_none_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected the previous events artifact to hold report\.json"):
        drift(tmp_path, ["a\tx\t1"], str(tmp_path))


@pytest.mark.parametrize("setting", [{"max_rejected_share": 1.1}, {"data_errors": ("typos",)}])
def test_acceptance_is_checked(setting):
    with pytest.raises(ValueError, match=f"Expected {next(iter(setting))}"):
        Acceptance(**setting)


@pytest.mark.parametrize(
    "text",
    ["volume", "volume=1", "volume=2:1", "volume=-1:1", "volume=nan:1", "volume=a:b", "size=1:2", "volume=1:2:3"],
)
def test_bounds_are_checked(text):
    with pytest.raises(ValueError, match="drift_bounds"):
        Acceptance(drift_bounds=(text,))


def test_a_measure_has_one_bound():
    with pytest.raises(ValueError, match="once at most"):
        Acceptance(drift_bounds=("volume=1:2", "volume=1:3"))


def test_bounds_that_are_not_named_keep_their_defaults():
    drift = Acceptance(drift_bounds=(" lost_items = 0.5 : inf",)).drift
    assert drift == replace(DriftBounds(), lost_items=Bounds(warn=0.5, fail=math.inf))
