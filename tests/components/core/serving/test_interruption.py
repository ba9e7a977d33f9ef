"""Publishers that are killed, and pairs of them, in a folder and on a real object store."""

import os
import random
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest
import s3_server
from served import KEEP, NUM_BYTES, check_versions, make_draft, start_publisher

from components.core.serving.location import list_versions, open_location

NUM_KILLS = int(os.environ.get("NUM_KILLS", "20"))
NUM_PAIRS = 20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(params=["local", "seaweedfs"])
def uri(request, tmp_path, monkeypatch):
    if request.param == "local":
        yield str(tmp_path / "served")
        return
    (tmp_path / "weed").mkdir()
    with s3_server.serve_seaweedfs("served", tmp_path / "weed") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield "s3://served/two-tower"


def check_leftovers(uri):
    """Nothing but complete versions lies in the location, except what keeps a version of a bucket closed."""
    contents = open_location(uri).scan()
    for number in contents.unfinished:
        assert contents.paths[number] == [f"{number}/manifest.json"], contents.paths
    if "://" not in uri:
        allowed = {".lock", "models", *map(str, contents.manifests)}
        assert {path.name for path in Path(uri).iterdir()} == allowed
        assert {path.name for path in Path(uri, "models").iterdir()} == set(map(str, contents.manifests))


def test_a_publisher_killed_at_a_random_moment_leaves_no_torn_version(uri, tmp_path):
    rng, out = random.Random(1), tmp_path / "out"  # noqa: S311
    seconds = publish_until(uri, "first", tmp_path, kill_after=None)
    newest, num_complete, num_torn = 1, 0, 0
    for turn in range(NUM_KILLS):
        key = f"killed-{turn}"
        publish_until(uri, key, tmp_path, kill_after=rng.uniform(0, 1.2 * seconds))
        found = check_versions(uri, out)
        assert max(found) >= newest
        num_complete += key in found.values()
        num_torn += bool(open_location(uri).scan().unfinished) or bool(list(Path(uri).glob(".publishing-*")))
        # The next publication: of another run, or of the same one that is tried again.
        retried = key if turn % 2 else f"next-{turn}"
        draft = make_draft(tmp_path / "in", retried, num_bytes=NUM_BYTES)
        version = open_location(uri).publish(draft, keep=KEEP).version
        assert version == max(found) if retried in found.values() else version > max(found)
        newest = version
        found = check_versions(uri, out)
        assert max(found) == newest
        assert list(found.values()).count(retried) == 1
        if retried != key:  # a retry that finds its version leaves the rest to the next publication
            check_leftovers(uri)
    print(f"\n{NUM_KILLS} kills within {seconds:.2f} s: {num_complete} after completion, {num_torn} with leftovers")


def publish_until(uri, key, folder, *, kill_after):
    """Starts a publisher, reads the location until it has ended, and returns the seconds that it took.

    It is killed after some seconds, unless `kill_after` is None.
    """
    process, connection = start_publisher(uri, key, folder / "in")
    timer = threading.Timer(kill_after or 0, process.kill)
    begin = time.monotonic()
    connection.send("begin")
    if kill_after is not None:
        timer.start()
    while process.is_alive():
        check_versions(uri, folder / "out")
    seconds = time.monotonic() - begin
    process.join()
    if kill_after is not None:
        timer.join()
    return seconds


@pytest.fixture
def memory():
    """A folder in memory, if there is one: nothing of it need outlive the machine, and it is flushed at once."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:  # noqa: S108
        yield Path(folder)


def test_a_publisher_killed_before_any_file_operation_leaves_no_torn_version(memory):
    """Python reports each operation on files to a hook, which kills the process at the n-th one."""
    uri, number, code = str(memory / "served"), 0, -signal.SIGKILL
    for turn in range(KEEP):  # as many as are kept, so that the next one removes one
        open_location(uri).publish(make_draft(memory / "in", f"first-{turn}"), keep=KEEP)
    while code == -signal.SIGKILL:
        number += 1
        before = newest(uri)
        process, connection = start_publisher(uri, f"killed-{number}", memory / "in", kill_at=number)
        connection.send("begin")
        process.join()
        code = process.exitcode
        found = check_versions(uri, memory / "out")
        assert len(found) >= KEEP
        assert max(found) == before or found[max(found)] == f"killed-{number}"
        # The next publication finds as much work at every turn.
        version = open_location(uri).publish(make_draft(memory / "in", f"next-{number}"), keep=KEEP).version
        assert version > max(found)
        check_leftovers(uri)
        assert max(check_versions(uri, memory / "out")) == version
        shutil.rmtree(memory / "in")
    assert code == 0
    assert number > 50


def test_of_two_publishers_at_once_one_publishes_and_the_other_says_so(uri, tmp_path):
    for turn in range(NUM_PAIRS):
        pair = [
            start_publisher(uri, f"{name}-{turn}", tmp_path / "in", champion=newest(uri)) for name in ("left", "right")
        ]
        for _, connection in pair:
            connection.send("begin")
        answers = [connection.recv() for _, connection in pair]
        for process, _ in pair:
            process.join()
        versions = [answer for answer in answers if isinstance(answer, int)]
        (message,) = [answer for answer in answers if isinstance(answer, str)]
        assert versions == [newest(uri)]
        assert "published" in message
        check_versions(uri, tmp_path / "out")
    assert len(list_versions(uri)) == KEEP


def newest(uri):
    return max((each.version for each in list_versions(uri)), default=0)
