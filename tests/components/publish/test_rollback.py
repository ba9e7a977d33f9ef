import pytest
from served import DETAILS, make_draft

from components.core.serving.location import fetch, list_versions, open_location
from components.core.serving.manifest import ServingError, list_folder
from components.publish.rollback import roll_back


@pytest.fixture
def uri(tmp_path):
    """A location with the versions 1 to 3 of the runs a, b and c."""
    uri = str(tmp_path / "served")
    for key in "abc":
        draft = make_draft(tmp_path / "in", key, details={**DETAILS, "trained_until": ord(key)})
        open_location(uri).publish(draft)
    return uri


def read(uri, manifest, folder):
    """The content of every file of a version."""
    for part in ("index", "model"):
        fetch(open_location(uri), manifest, part, folder / part)
    return {name: path.read_bytes() for name, path in list_folder(folder).items()}


@pytest.mark.parametrize(("to", "expected"), [(None, 2), (2, 2), (1, 1)])
def test_the_old_content_becomes_the_newest_version(uri, tmp_path, to, expected):
    before = {each.version: each.document for each in list_versions(uri)}
    manifest = roll_back(uri, to)
    versions = {each.version: each for each in list_versions(uri)}
    assert list(versions) == [1, 2, 3, 4]
    assert {version: versions[version].document for version in before} == before
    assert versions[4].document == manifest.document
    key = " abc"[expected]
    assert manifest.document["rolled_back"] == {"from": 3, "to": expected, "publication_key": key}
    assert manifest.document["trained_until"] == ord(key)
    assert manifest.document["metrics"] == DETAILS["metrics"]
    old, new = (read(uri, versions[each], tmp_path / f"out-{each}") for each in (expected, 4))
    assert old == new


def test_a_second_rollback_must_say_to_which_version(uri):
    roll_back(uri)
    with pytest.raises(ValueError, match=r"version 4 is a rollback from version 3 to 2 itself\. .* there are 1, 2, 3"):
        roll_back(uri)
    assert roll_back(uri, 3).document["rolled_back"] == {"from": 4, "to": 3, "publication_key": "c"}
    assert roll_back(uri, 4).version == 6


@pytest.mark.parametrize("to", [3, 4, 99])
def test_the_newest_version_and_those_that_are_not_there_are_refused(uri, to):
    with pytest.raises(ValueError, match=rf"Expected a version before the newest one in .*: 1, 2\. Received: {to}"):
        roll_back(uri, to)
    assert len(list_versions(uri)) == 3


@pytest.mark.parametrize(("keys", "received"), [("", "no version"), ("a", "version 1 alone")])
def test_without_an_earlier_version_there_is_nothing_to_return_to(tmp_path, keys, received):
    uri = str(tmp_path / "served")
    for key in keys:
        open_location(uri).publish(make_draft(tmp_path, key))
    with pytest.raises(ValueError, match=f"Received: {received}"):
        roll_back(uri)


def test_a_damaged_version_is_not_published_again(uri, tmp_path):
    (tmp_path / "served" / "models" / "2" / "vocabulary.parquet").write_bytes(b"other")
    with pytest.raises(ServingError, match=r"Expected models/2/vocabulary\.parquet .* to have the SHA-256"):
        roll_back(uri)
    assert len(list_versions(uri)) == 3


def test_a_newest_version_without_a_readable_manifest_can_be_left_by_name(uri, tmp_path):
    (tmp_path / "served" / "3" / "manifest.json").write_bytes(b"{")
    with pytest.raises(ServingError, match=r"manifest of version 3 .* cannot be read"):
        roll_back(uri)
    assert roll_back(uri, 2).document["rolled_back"] == {"from": 3, "to": 2, "publication_key": "b"}
    assert open_location(uri).scan().newest == 4
