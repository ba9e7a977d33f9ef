"""Which version is served, and why another one is not."""

import asyncio
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tensorflow as tf
from lookup_model import LookupModel, save_model
from running_server import publish, save_index, serve
from s3_server import serve as serve_s3

from components.core.file_locks import lock
from components.serve import versions as versions_module
from components.serve.batching import Batcher
from components.serve.metrics import Metrics
from components.serve.preparation import find_index_dir
from components.serve.versions import Versions

STATUS = "/v1/models/two_tower"
READY = "/v2/health/ready"


def make_versions(uri):
    """Runs a coroutine function with the versions of a location, inside an event loop."""

    def run(main):
        async def inside():
            with ThreadPoolExecutor(1) as executor:

                def make_batcher(index, on_end):
                    options = {"max_batch_size": 8, "delay_seconds": 0.0, "queue_seconds": 60.0}
                    return Batcher(index, executor, Metrics(), on_end=on_end, **options)

                await main(Versions(uri, make_batcher, executor, Metrics()))

        asyncio.run(inside())

    return run


def states(running):
    return {
        int(each["version"]): (each["state"], each["status"]["error_message"])
        for each in running.get(STATUS).json()["model_version_status"]
    }


@pytest.mark.slow
def test_a_new_version_is_taken_up_without_a_failed_request(location, other_index_dir):
    statuses, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            statuses.append(running.post(f"{STATUS}:predict", {"instances": [["i1", "i2"]]}).status_code)

    with serve(location, client_seconds=100.0) as running:
        running.wait_for(lambda: running.get(READY).ok)
        slow = socket.create_connection(("127.0.0.1", running.port))  # its request begins with the first version
        slow.sendall(f"POST {STATUS}:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 23\r\n\r\n".encode())
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for each in threads:
            each.start()
        try:
            publish(location, other_index_dir, "second")
            running.wait_for(lambda: running.version() == 2)
            running.wait_for(lambda: running.metric("two_tower_versions_in_memory") == 1)
        finally:
            stop.set()
            for each in threads:
                each.join()
        assert set(statuses) == {200}
        slow.sendall(b'{"instances": [["i1"]]}')
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200 OK")
        slow.close()
        # An item that only the second index has.
        assert running.predict({"signature_name": "known", "instances": [["i49"]]}) == {"predictions": [[True]]}
        assert states(running) == {2: ("AVAILABLE", "")}


def test_an_empty_location_is_not_ready_until_a_version_comes(tmp_path, index_dir):
    (tmp_path / "served").mkdir()
    with serve(tmp_path / "served") as running:
        running.wait_for(lambda: "There is no version in" in running.get(READY).text)
        answer = running.post(f"{STATUS}:predict", {"instances": [["i1"]]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert running.get("/v2/health/live").ok
        publish(str(tmp_path / "served"), index_dir, "first")
        running.wait_for(lambda: running.get(READY).ok)


def damage(folder, how):
    path = folder / "variables" / "variables.index"
    if how == "torn manifest":
        manifest = (folder / "manifest.json").read_bytes()
        (folder / "manifest.json").write_bytes(manifest[: len(manifest) // 2])
    elif how == "no manifest":
        (folder / "manifest.json").unlink()
    elif how == "missing file":
        path.unlink()
    elif how == "torn file":
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "changed byte":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("torn manifest", "Expected a complete JSON document"),
        ("no manifest", None),
        ("missing file", "No such file"),
        ("torn file", "The version is damaged"),
        ("changed byte", "The version is damaged"),
    ],
)
def test_a_damaged_version_is_not_served_and_is_reported(location, other_index_dir, how, reason, monkeypatch):
    publish(location, other_index_dir, "second")
    damage(Path(location, "2"), how)

    async def main(versions):
        await versions.look()
        assert versions.current.index.version == 1
        if reason is None:  # without a manifest, it does not exist
            assert versions.failures == {}
            return
        assert list(versions.failures) == [2]
        assert reason in versions.failures[2].reason
        failed = versions.failures[2]
        await versions.look()  # not read again at each look
        assert versions.failures[2] is failed
        monkeypatch.setattr(versions_module, "RETRY_SECONDS", 0.0)
        shutil.rmtree(Path(location, "2"))
        await versions.look()
        assert versions.failures == {}
        assert versions.current.index.version == 1
        publish(location, other_index_dir, "third")
        await versions.look()
        assert versions.current.index.key != ""
        assert versions.current.index.num_items == 50

    make_versions(location)(main)


def test_what_is_no_index_is_reported(location, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "saved_model.pb").write_bytes(b"no model")
    publish(location, tmp_path / "other", "second")
    with serve(location) as running:
        running.wait_for(lambda: running.get(READY).ok)
        found = states(running)
        assert found[1] == ("AVAILABLE", "")
        assert found[2][0] == "END"
        assert running.metric("two_tower_version_failures_total") == 1


def test_a_location_that_cannot_be_listed_changes_nothing(location):
    async def main(versions):
        await versions.look()
        Path(location).rename(f"{location}.away")
        Path(location).write_text("no folder")
        await versions.look()
        assert versions.current.index.version == 1
        assert "Expected to read the serving location" in versions.problem
        Path(location).unlink()
        Path(f"{location}.away").rename(location)
        await versions.look()
        assert versions.problem == ""

    make_versions(location)(main)


def test_a_version_that_is_removed_is_not_served_any_more(location, other_index_dir):
    async def main(versions):
        publish(location, other_index_dir, "second")
        await versions.look()
        assert versions.current.index.version == 2
        shutil.rmtree(Path(location, "2"))
        await versions.look()
        assert versions.current.index.version == 1
        shutil.rmtree(Path(location, "1"))
        await versions.look()  # the last one stays: an empty location is not a wish to serve nothing
        assert versions.current.index.version == 1
        assert "There is no version" in versions.problem

    make_versions(location)(main)


def test_an_older_version_answers_what_it_was_asked(location, other_index_dir):
    async def main(versions):
        await versions.look()
        old = versions.find(None)
        with old.running():  # a request that has chosen its version
            publish(location, other_index_dir, "second")
            await versions.look()
            assert versions.find(None).index.version == 2
            assert versions.find(1) is old
        assert versions.find(1) is None
        assert versions.find(3) is None

    make_versions(location)(main)


@pytest.mark.slow
def test_a_bucket(index_dir, other_index_dir, monkeypatch):
    with serve_s3("models") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        uri = "s3://models/shop"
        publish(uri, index_dir, "first")
        with serve(uri) as running:
            running.wait_for(lambda: running.version() == 1)
            publish(uri, other_index_dir, "second")
            running.wait_for(lambda: running.version() == 2)
            assert running.predict({"instances": [["i49"]]})["predictions"]


def test_an_index_is_read_from_one_run_although_the_link_moves(tmp_path, monkeypatch):
    for name, serving_k in (("first", 5), ("second", 7)):
        save_index([f"i{number}" for number in range(10)], tmp_path / "runs" / name / "index", serving_k=serving_k)
    link = tmp_path / "current"
    link.symlink_to("runs/first")
    (tmp_path / "index").symlink_to("current/index")
    load, is_free = tf.saved_model.load, []

    def load_and_show_the_next_run(path):
        loaded = load(path)
        link.unlink()
        link.symlink_to("runs/second")
        held = lock(tmp_path / "runs" / "first", exclusive=True, wait=False)
        is_free.append(held is not None)
        return loaded

    async def main(versions):
        monkeypatch.setattr(tf.saved_model, "load", load_and_show_the_next_run)
        await versions.look()
        index = versions.find(None).index
        described = index.signature_def["serving_default"]["outputs"]["scores"]["tensor_shape"]["dim"][1]["size"]
        assert (index.serving_k, described, is_free) == (5, "5", [False])

    make_versions(str(tmp_path))(main)
    held = lock(tmp_path / "runs" / "first", exclusive=True, wait=False)
    assert held is not None
    held.release()


def test_a_trained_model_is_not_taken_for_a_serving_location(tmp_path):
    save_model(LookupModel(["i1"]), tmp_path / "model")
    with pytest.raises(ValueError, match=r"Expected an index. Received: .*/model, which is a trained model"):
        find_index_dir(str(tmp_path / "model"))


def test_an_index_and_the_output_folder_of_a_run_are_found(index_dir, tmp_path, location):
    assert find_index_dir(str(index_dir)) == index_dir
    assert find_index_dir(str(index_dir.parent)) == index_dir
    assert find_index_dir(location) is None
    assert find_index_dir("s3://models/shop") is None
