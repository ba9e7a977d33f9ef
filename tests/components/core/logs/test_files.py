import fnmatch
import gzip
import json
import os

import boto3
import pyarrow.parquet as pq
import pytest
import s3_server
import storage_server
from broken_lines import HEADER, MILLISECONDS, read
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.events import SPLITS
from components.core.intake.acceptance import ERRORS, Acceptance
from components.core.intake.data_report import DataReport
from components.core.intake.drift import compare
from components.core.logs.files import find_files
from components.ingest.step import IngestParameters, ingest


@pytest.fixture
def folder(tmp_path):
    for name in ("a/1.tsv", "a/2.tsv.gz", "a/b/3.csv", "a/_SUCCESS", "a/.hidden/4.tsv", "a/[5].tsv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a/1.tsv", ["a/1.tsv"]),
        ("a", ["a/1.tsv", "a/2.tsv.gz", "a/[5].tsv", "a/b/3.csv"]),
        ("a/*.tsv*", ["a/1.tsv", "a/2.tsv.gz", "a/[5].tsv"]),
        ("a/[12].*", ["a/1.tsv", "a/2.tsv.gz"]),
        ("a/[!2].tsv", ["a/1.tsv"]),
        ("a/?.tsv", ["a/1.tsv"]),
        ("a/**/*.csv", ["a/b/3.csv"]),
        ("a/[5].tsv", ["a/[5].tsv"]),
    ],
)
def test_files_folders_and_globs(folder, source, names):
    assert [file.name for file in find_files(f"{folder}/{source}")] == [f"{folder}/{name}" for name in names]


ONE_LOG = IngestParameters(form=MILLISECONDS, acceptance=Acceptance(allowed_findings=ERRORS))  # one log for all splits


def write_all(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def find(folder, source):
    return [file.path.removeprefix(f"{folder}/") for file in find_files(f"{folder}/{source}")]


@pytest.mark.parametrize(
    "name", ["lr=[0.002]", "a]b[c", "[!a]", "x*", "?", "a b", "it's", '"', "日本é", "a\nb", "back\\slash", "**"]
)
def test_a_name_that_is_there_is_taken_literally(tmp_path, name):
    """As a file, as a folder, and as a folder in a glob; what it matches as a pattern is not taken."""
    write_all(tmp_path, [f"{name}/{name}.tsv", f"{name}/b.tsv", "lr=0/b.tsv", "b/b.tsv", "xyz/b.tsv", "xyz/lr=0.tsv"])
    assert find(tmp_path, f"{name}/{name}.tsv") == [f"{name}/{name}.tsv"]
    both = sorted([f"{name}/{name}.tsv", f"{name}/b.tsv"])
    assert find(tmp_path, name) == both
    assert find(tmp_path, f"{name}/*.tsv") == both
    assert find(tmp_path, f"{name}/[b].tsv") == [f"{name}/b.tsv"]
    assert find(tmp_path, f"{name}/**/b.tsv") == [f"{name}/b.tsv"]
    write_all(tmp_path, [f"below/{name}/c.tsv", "below/lr=0/c.tsv", "below/xyz/c.tsv"])
    assert find(tmp_path, f"bel*/{name}/*.tsv") == [f"below/{name}/c.tsv"] or name == "**"


def test_a_folder_with_a_file_named_as_a_wildcard_is_read_as_a_whole(tmp_path):
    write_all(tmp_path, ["*", "**", "a.tsv", "b/c.tsv"])
    assert find(tmp_path, "") == ["*", "**", "a.tsv", "b/c.tsv"]
    assert find(tmp_path, "*") == ["*"]


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.text("ab[]*?!-", min_size=1, max_size=4), min_size=1, max_size=5),
    st.text("ab[]*?!-", min_size=1, max_size=5),
)
def test_names_match_as_in_the_standard_library_unless_one_is_equal(tmp_path_factory, names, pattern):
    folder = tmp_path_factory.mktemp("names")
    write_all(folder, names)
    expected = [pattern] if pattern in names else sorted({name for name in names if fnmatch.fnmatchcase(name, pattern)})
    if expected:
        assert find(folder, pattern) == expected
    else:
        with pytest.raises(FileNotFoundError):
            find(folder, pattern)


@pytest.mark.parametrize("source", ["nowhere.tsv", "a/*.json", "nowhere/*"])
def test_nothing_found_says_so(folder, source):
    with pytest.raises(FileNotFoundError, match="Expected a file, a folder with files or a matching glob"):
        find_files(f"{folder}/{source}")


def test_an_unknown_scheme_says_so():
    with pytest.raises(ValueError, match=r"Expected a local path or an address with s3:// or gs://\. Received: 'ftp:"):
        find_files("ftp://host/log.tsv")


@pytest.fixture(scope="module")
def bucket():
    """A bucket of an S3-compatible server on the loopback, which the environment points to."""
    with pytest.MonkeyPatch.context() as patch, s3_server.serve("logs") as variables:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield boto3.client("s3")


def put(bucket, key, text):
    bucket.put_object(Bucket="logs", Key=key, Body=gzip.compress(text) if key.endswith(".gz") else text)


def test_a_bucket_is_read_like_a_folder(bucket, tmp_path):
    put(bucket, "days/1.tsv", HEADER + b"a\tx\t1\na\ty\t2\n")
    put(bucket, "days/2.tsv.gz", HEADER + b"b\tx\t3\nbroken\n")
    assert [file.name for file in find_files("s3://logs/days/*")] == ["s3://logs/days/1.tsv", "s3://logs/days/2.tsv.gz"]
    sources = {"train": "s3://logs/days", "valid": "s3://logs/days/1.tsv", "test": "s3://logs/days/*.gz"}
    with pytest.raises(ValueError, match=r"line 3 of s3://logs/days/2\.tsv\.gz: 'broken'"):
        ingest(sources, tmp_path / "events", ONE_LOG)
    put(bucket, "days/2.tsv.gz", HEADER + b"b\tx\t3\n")
    assert ingest(sources, tmp_path / "events", ONE_LOG).num_accepted == 6


@pytest.mark.parametrize("folder", ["lr=[0.002]", "what?", "a*b", "a b", "日本é", "it's", "a+b&c#d%20"])
def test_a_name_in_a_bucket_is_taken_literally(bucket, tmp_path, folder, monkeypatch):
    put(bucket, f"odd/{folder}/1.tsv", HEADER + b"a\tx\t1\n")
    put(bucket, "odd/lr=0/1.tsv", b"nothing")
    found = [f"s3://logs/odd/{folder}/1.tsv"]
    for source in (f"odd/{folder}/1.tsv", f"odd/{folder}/*.tsv", f"o*/{folder}/[1].tsv"):
        files = find_files(f"s3://logs/{source}")
        assert [file.name for file in files] == found
    monkeypatch.setattr("broken_lines.find_files", lambda _: files)
    assert read(tmp_path / "1.tsv") == ([(2, "a", "x", 1)], [])


def test_a_bucket_of_the_other_cloud_is_read_like_a_folder(tmp_path, monkeypatch):
    objects = {
        "days/1.tsv": HEADER + b"a\tx\t1\na\ty\t2\n",
        "days/2.tsv.gz": gzip.compress(HEADER + b"b\tx\t3\n"),
        "days/_SUCCESS": b"",
    }
    account = tmp_path / "account.json"
    account.write_text(json.dumps(storage_server.make_account()))
    sources = {"train": "gs://logs/days", "valid": "gs://logs/days/1.tsv", "test": "gs://logs/days/*.gz"}
    with storage_server.serve("logs", objects) as address:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        found = find_files("gs://logs/days/*")
        assert [file.name for file in found] == ["gs://logs/days/1.tsv", "gs://logs/days/2.tsv.gz"]
        assert ingest(sources, tmp_path / "events", ONE_LOG).num_accepted == 6
        with pytest.raises(FileNotFoundError, match=r"Expected a file, a folder .* Received: gs://logs/weeks"):
            find_files("gs://logs/weeks")


def test_a_bucket_that_is_not_there_says_so_and_no_secret(bucket):
    with pytest.raises((FileNotFoundError, ValueError), match="Expected") as error:
        find_files("s3://nowhere/log.tsv")
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(error.value)
    with pytest.raises(ValueError, match=r"Expected to reach s3://logs/a//b\.tsv\. Received: Empty path component"):
        find_files("s3://logs/a//b.tsv")


def test_a_file_that_disappears_from_a_bucket_says_so(bucket, tmp_path, monkeypatch):
    put(bucket, "gone.tsv", HEADER + b"a\tx\t1\n")
    files = find_files("s3://logs/gone.tsv")
    bucket.delete_object(Bucket="logs", Key="gone.tsv")
    monkeypatch.setattr("broken_lines.find_files", lambda _: files)
    with pytest.raises(FileNotFoundError, match=r"Expected s3://logs/gone\.tsv to stay where it was"):
        read(tmp_path / "gone.tsv")


def test_drift_is_measured_against_a_bucket(bucket, tmp_path):
    acceptance = Acceptance(allowed_findings=ERRORS)
    for name, rows in (("before", b"a\tx\t1\na\ty\t2\n"), ("now", b"a\tx\t1\na\tx\t2\nb\tz\t3\nb\tx\t4\n")):
        (tmp_path / f"{name}.tsv").write_bytes(HEADER + rows)
        ingest(
            dict.fromkeys(SPLITS, tmp_path / f"{name}.tsv"),
            tmp_path / name,
            IngestParameters(form=MILLISECONDS, acceptance=acceptance),
        )
    for path in (tmp_path / "before").iterdir():
        bucket.upload_file(str(path), "logs", f"runs/1/events/{path.name}")
    report = DataReport.read(tmp_path / "now" / "report.json")
    item_counts = pq.read_table(tmp_path / "now" / "item_counts.parquet")

    def measure(previous):
        return compare(report, item_counts, previous, acceptance.drift)

    found = measure("s3://logs/runs/1/events")
    assert found == measure(str(tmp_path / "before"))
    assert {each["name"]: each["value"] for each in found if each["name"] != "popularity"} == {
        "volume": 1.0, "session_length": 0.0, "lost_items": 0.5,
    }  # fmt: skip
    with pytest.raises(FileNotFoundError, match=r"to hold report\.json\. Received: s3://logs/runs/2"):
        measure("s3://logs/runs/2")


def test_a_step_measures_drift_against_a_bucket(bucket, tmp_path):
    (tmp_path / "log.tsv").write_bytes(HEADER + b"a\tx\t1\na\ty\t2\n")
    sources = dict.fromkeys(SPLITS, tmp_path / "log.tsv")
    ingest(sources, tmp_path / "first", ONE_LOG)
    for path in (tmp_path / "first").iterdir():
        bucket.upload_file(str(path), "logs", f"first/{path.name}")
    acceptance = Acceptance(previous_events="s3://logs/first/", allowed_findings=ERRORS)
    report = ingest(sources, tmp_path / "second", IngestParameters(form=MILLISECONDS, acceptance=acceptance))
    assert [each["verdict"] for each in report.drift] == ["ok"] * 4
