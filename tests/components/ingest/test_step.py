import gzip

import pytest

from components.core.events import SPLITS, read_split
from components.ingest.step import IngestParameters, ingest

HEADER = "SessionId\tItemId\tTime\n"


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
    ingest(sources, tmp_path / "events", IngestParameters())
    assert rows(tmp_path / "events") == [("007", "1e5", 1), ("007", "9007199254740993", 2)]


def test_column_names_are_parameters_and_other_columns_are_left(tmp_path):
    sources = write(tmp_path, "when\twhat\tcolour\twho\n5\tx\tred\ta\n4\ty\tblue\ta\n")
    parameters = IngestParameters(session_column="who", item_column="what", time_column="when")
    ingest(sources, tmp_path / "events", parameters)
    assert rows(tmp_path / "events") == [("a", "y", 4), ("a", "x", 5)]


def test_a_missing_file_says_so(tmp_path):
    sources = dict.fromkeys(SPLITS, tmp_path / "nowhere.tsv")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tsv"):
        ingest(sources, tmp_path / "events", IngestParameters())


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "Expected .*log.tsv"), (HEADER, "Expected"), ("SessionId\tItem\tTime\na\tb\t1\n", "Expected .*ItemId")],
)
def test_an_empty_file_or_a_missing_column_says_so(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        ingest(write(tmp_path, text), tmp_path / "events", IngestParameters())


def long_log(folder):
    lines = [f"s{number // 4}\ti{number}\t{number}\n" for number in range(400)]
    return write(folder, HEADER + "".join(lines))


def test_sampled_sessions_stay_whole(tmp_path):
    ingest(long_log(tmp_path), tmp_path / "events", IngestParameters(sample_fraction=0.3))
    sessions = [session for session, _, _ in rows(tmp_path / "events")]
    assert len(sessions) == 120
    assert all(sessions.count(session) == 4 for session in sessions)


def test_sampled_events_are_a_share_of_the_rows(tmp_path):
    parameters = IngestParameters(sample_fraction=0.3, sample_unit="events")
    ingest(long_log(tmp_path), tmp_path / "events", parameters)
    kept = rows(tmp_path / "events")
    assert len(kept) == 120
    assert len({session for session, _, _ in kept}) > 60
    assert kept == sorted(kept, key=lambda row: row[2])


def test_sampling_depends_on_the_seed_alone(tmp_path):
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        ingest(long_log(tmp_path), tmp_path / name, IngestParameters(sample_fraction=0.5, seed=seed))
    assert rows(tmp_path / "first") == rows(tmp_path / "again")
    assert rows(tmp_path / "first") != rows(tmp_path / "other")


@pytest.mark.parametrize("setting", [{"sample_fraction": 0.0}, {"sample_fraction": 1.1}, {"sample_unit": "users"}])
def test_parameters_are_checked(setting):
    with pytest.raises(ValueError, match=f"Expected {next(iter(setting))}"):
        IngestParameters(**setting)
