import json
from pathlib import Path

import boto3
import pytest
from served import DETAILS, INDEX_NAMES, MODEL_NAMES, check_versions, make_draft

from components.core.serving.location import fetch, list_versions, open_location
from components.core.serving.manifest import PublishConflictError, ServingError


def publish(uri, tmp_path, *keys, keep=None, **values):
    """Publishes a version for each key, and returns their numbers."""
    return [open_location(uri).publish(make_draft(tmp_path, key, **values), keep=keep).version for key in keys]


def paths_of(version, *, claims):
    """The files of a complete version."""
    return {
        *(f"{version}/{name}" for name in (*INDEX_NAMES, "manifest.json")),
        *(f"models/{version}/{name}" for name in MODEL_NAMES),
        *([f"models/{version}/claim.json"] if claims else []),
    }


def write(uri, path, content):
    """Writes a file behind the back of the location."""
    if "://" in uri:
        import obstore

        obstore.put(open_location(uri)._store, path, content)
    else:
        target = Path(uri, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def test_a_location_without_a_version_is_empty(uri):
    assert list_versions(uri) == []


def test_versions_are_numbered_in_order_and_read_back(uri, tmp_path, list_paths):
    assert publish(uri, tmp_path / "in", "a", "b", "c") == [1, 2, 3]
    assert check_versions(uri, tmp_path / "out") == {1: "a", 2: "b", 3: "c"}
    assert list_paths() == set().union(*(paths_of(version, claims="://" in uri) for version in (1, 2, 3)))
    newest = list_versions(uri)[-1].document
    assert {name: newest[name] for name in DETAILS} == DETAILS
    assert newest["schema_version"] == 1
    # printf 'c vocabulary.parquet\n' | sha256sum
    assert newest["model_files"]["vocabulary.parquet"] == {
        "sha256": "de0acc540527884f70d9fb7d8311fcf352d2044b4066cac3f9a214b1b4113cab",
        "num_bytes": len("c vocabulary.parquet\n"),
    }


def test_a_retry_publishes_nothing_and_returns_the_version_of_the_first_attempt(uri, tmp_path):
    assert publish(uri, tmp_path, "a", "b", "a", "b") == [1, 2, 1, 2]
    assert [each.version for each in list_versions(uri)] == [1, 2]


def test_the_last_versions_are_kept_and_nothing_of_the_others(uri, tmp_path, list_paths):
    assert publish(uri, tmp_path / "in", *"abcde", keep=2) == [1, 2, 3, 4, 5]
    assert check_versions(uri, tmp_path / "out") == {4: "d", 5: "e"}
    assert list_paths() == paths_of(4, claims="://" in uri) | paths_of(5, claims="://" in uri)


@pytest.mark.parametrize("left", ["7/variables/variables.index", "models/7/vocabulary.parquet"])
def test_numbers_stay_above_what_was_left_and_that_is_removed(uri, tmp_path, list_paths, left):
    uri = f"{uri}/{left.partition('/')[0]}"
    publish(uri, tmp_path / "in", "a")
    write(uri, left, b"torn")
    assert check_versions(uri, tmp_path / "out") == {1: "a"}
    assert publish(uri, tmp_path / "in", "b") == [8]
    assert check_versions(uri, tmp_path / "out") == {1: "a", 8: "b"}
    assert open_location(uri).scan().paths.get(7, []) in ([], ["7/manifest.json"])


def test_a_version_that_is_not_the_one_compared_with_is_a_conflict(uri, tmp_path):
    with pytest.raises(PublishConflictError, match=r"Expected version 1 as the newest .* Received: no version\."):
        publish(uri, tmp_path, "a", champion=1)
    publish(uri, tmp_path, "a", champion=0)
    with pytest.raises(PublishConflictError, match=r"Expected no version as the newest .* Received: version 1\."):
        publish(uri, tmp_path, "b", champion=0)
    assert publish(uri, tmp_path, "a", "b", champion=1) == [1, 2]  # the first is a retry


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "complete JSON document"),
        (b'{"schema_version": 1, "ver', "complete JSON document"),
        (b"\xff\xfe", "complete JSON document"),
        (b"[]", "schema version 1. Received: list"),
        (b'{"schema_version": 2, "version": 2}', "schema version 1. Received: 2"),
        (b'{"schema_version": 1, "version": 3}', "manifest of version 2. Received: that of 3"),
        (b'{"schema_version": 1, "version": 2}', "the entry publication_key"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_no_empty_location(tmp_path, content, message):
    uri = str(tmp_path / "served")
    publish(uri, tmp_path, "a", "b")
    write(uri, "2/manifest.json", content)
    with pytest.raises(ServingError, match=rf"version 2 in .* cannot be read\. Expected .*{message}"):
        list_versions(uri)
    with pytest.raises(ServingError, match=r"version 2 in .* cannot be read"):
        publish(uri, tmp_path, "c")
    assert publish(uri, tmp_path, "d", allow_unreadable=True) == [3]


@pytest.mark.parametrize("path", ["../1", "/etc/passwd", "a/../../b", "."])
def test_a_manifest_names_no_file_outside_its_version(tmp_path, path):
    uri = str(tmp_path / "served")
    publish(uri, tmp_path, "a")
    document = list_versions(uri)[0].document
    document["index_files"][path] = {"sha256": "0"}
    write(uri, "1/manifest.json", json.dumps(document).encode())
    with pytest.raises(ServingError, match="Expected the path of a file in the version"):
        list_versions(uri)


def test_a_damaged_or_missing_file_is_found_when_it_is_fetched(uri, tmp_path):
    publish(uri, tmp_path / "in", "a")
    (manifest,) = list_versions(uri)
    write(uri, "1/fingerprint.pb", b"other")
    with pytest.raises(ServingError, match=r"Expected 1/fingerprint\.pb in .* to have the SHA-256"):
        fetch(open_location(uri), manifest, "index", tmp_path / "out")
    manifest.document["model_files"]["more.txt"] = {"sha256": "0", "num_bytes": 1}
    with pytest.raises(ServingError, match="Expected to read the serving location"):
        fetch(open_location(uri), manifest, "model", tmp_path / "out")


@pytest.mark.parametrize("address", ["s3://nowhere/served", "gs://nowhere/served"])
def test_a_bucket_that_is_not_there_is_no_empty_location(stores, tmp_path, address):
    with pytest.raises(ServingError, match=r"Expected to list the serving location .*NoSuchBucket") as error:
        list_versions(address)
    assert "not-to-be-seen" not in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ServingError, match="Expected to list"):
        publish(address, tmp_path, "a")


def test_a_store_that_cannot_be_reached_is_no_empty_location(stores, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ServingError, match="Expected to list the serving location s3://served/any"):
        list_versions("s3://served/any")


def test_a_folder_that_cannot_be_listed_is_no_empty_location(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("file", "loop"):
        with pytest.raises(ServingError, match=f"Expected to read the serving location .*{name}. Received: "):
            list_versions(str(tmp_path / name))


@pytest.mark.parametrize("uri", ["", "s3://", "s3:///prefix", "ftp://host/a", "gs://"])
def test_an_address_of_another_kind_is_refused(uri):
    with pytest.raises(ValueError, match=r"Expected a local folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX\."):
        open_location(uri)


def test_an_empty_key_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Expected a publication key"):
        make_draft(tmp_path, "")


class Interrupting(dict):
    """Files of a draft; calls a function when they are listed for the given time."""

    def __init__(self, files, function, turn):
        super().__init__(files)
        self.function, self.left = function, turn

    def __iter__(self):
        self.left -= 1
        if self.left == 0:
            self.function()
        return super().__iter__()


def interrupt(draft, part, function):
    """A draft during whose upload, before the files of the part, a function is called."""
    files = Interrupting(getattr(draft, f"{part}_files"), function, turn=1)
    object.__setattr__(draft, f"{part}_files", files)
    return draft


@pytest.mark.parametrize("part", ["index", "model"])
@pytest.mark.parametrize("store", ["s3", "gs"])
def test_a_publisher_that_a_later_one_took_for_dead_says_so_and_publishes_nothing(stores, store, part, tmp_path):
    uri = f"{stores[store]}/slow-{part}"
    publish(uri, tmp_path / "in", "a", champion=0)
    slow = interrupt(
        make_draft(tmp_path / "in", "slow", champion=1),
        part,
        lambda: publish(uri, tmp_path / "in", "fast", champion=1),
    )
    with pytest.raises(PublishConflictError, match="A later publication has closed version 2"):
        open_location(uri).publish(slow)
    assert check_versions(uri, tmp_path / "out") == {1: "a", 3: "fast"}
    # What the slow one wrote after it was closed is removed by the next one.
    assert publish(uri, tmp_path / "in", "next") == [4]
    assert open_location(uri).scan().paths[2] == ["2/manifest.json"]


def test_a_closed_version_stays_closed_when_its_marker_is_removed(stores, tmp_path):
    uri = f"{stores['s3']}/very-slow"
    slow = interrupt(
        make_draft(tmp_path / "in", "slow"), "index", lambda: publish(uri, tmp_path / "in", "b", "c", "d", keep=2)
    )
    with pytest.raises(PublishConflictError, match="A later publication has closed version 1"):
        open_location(uri).publish(slow)
    assert check_versions(uri, tmp_path / "out") == {3: "c", 4: "d"}


def test_a_number_that_another_publisher_has_just_taken_is_a_conflict(stores, tmp_path):
    uri = f"{stores['s3']}/taken"
    client = boto3.client("s3")

    def take():
        client.put_object(Bucket="served", Key="taken/models/1/claim.json", Body=b'{"publication_key": "other"}')

    draft = make_draft(tmp_path, "a")
    interrupted = Interrupting(draft.index_files, take, turn=1)
    interrupted.items = lambda: [
        (name, dict.__getitem__(interrupted, name)) for name in interrupted
    ]  # for the manifest
    object.__setattr__(draft, "index_files", interrupted)
    with pytest.raises(PublishConflictError, match=r"Another publication \(other\) has taken the number 1"):
        open_location(uri).publish(draft)
    assert list_versions(uri) == []


def test_a_repeated_request_meets_its_own_object(stores, tmp_path):
    """As after an answer that was lost."""
    uri = f"{stores['s3']}/repeated"
    bucket, draft = open_location(uri), make_draft(tmp_path, "a")
    for _ in range(2):
        bucket._claim(1, draft)
    for _ in range(2):
        bucket._complete(1, draft.make_manifest(1), draft)
    assert [each.version for each in list_versions(uri)] == [1]


def test_one_process_publishes_to_a_folder_at_a_time(tmp_path):
    uri = str(tmp_path / "served")
    draft = make_draft(tmp_path, "a")
    conflicts = []

    def publish_too():
        with pytest.raises(PublishConflictError, match="Another process publishes to"):
            publish(uri, tmp_path, "b")
        conflicts.append(1)

    interrupted = Interrupting(draft.index_files, publish_too, turn=1)
    interrupted.items = lambda: [(name, dict.__getitem__(interrupted, name)) for name in interrupted]
    object.__setattr__(draft, "index_files", interrupted)
    assert open_location(uri).publish(draft).version == 1
    assert conflicts == [1]
    assert [each.publication_key for each in list_versions(uri)] == ["a"]
