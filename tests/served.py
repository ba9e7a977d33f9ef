"""Small versions to publish, what must hold of a serving location at any moment, and publishers that can be killed."""

import itertools
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from components.core.serving.location import fetch, list_versions, open_location
from components.core.serving.manifest import Draft, PublishConflictError, list_folder

NUM_BYTES = 200_000  # of each file that a publisher of its own process publishes
KEEP = 3

# Its processes begin with the modules imported, and without threads of the test's process.
forking = multiprocessing.get_context("forkserver")

DETAILS = {
    "trained_until": None,
    "metrics": {"model": {"recall@20": 0.5, "mrr@20": 0.25}},
    "verdict": None,
    "parameters": {"embedding_dim": 8},
}
INDEX_NAMES = ("saved_model.pb", "assets.extra/warm up", "fingerprint.pb", "variables/variables.index")
MODEL_NAMES = ("model/saved_model.pb", "model/assets/é.txt", "vocabulary.parquet")


def make_draft(folder: Path, key: str, *, num_bytes: int = 10, **values) -> Draft:
    """A version whose files all hold its key, and names that tell them apart."""
    for part, names in (("index", INDEX_NAMES), ("towers", MODEL_NAMES)):
        for name in names:
            path = folder / key / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make_content(key, name) * (1 + num_bytes // len(make_content(key, name))))
    return Draft(
        publication_key=key,
        index_files=list_folder(folder / key / "index"),
        model_files=list_folder(folder / key / "towers"),
        **{"details": DETAILS, **values},
    )


def make_content(key: str, name: str) -> bytes:
    return f"{key} {name}\n".encode()


def check_versions(uri: str, folder: Path) -> dict[int, str]:
    """Fetches every version as a reader does, and returns their keys; each has all files, with its own content.

    A version that is removed while it is fetched must be gone from the next listing.
    """
    found = {}
    for manifest in list_versions(uri):
        target = folder / str(manifest.version)
        try:
            for part in ("index", "model"):
                fetch(open_location(uri), manifest, part, target / part)
        except OSError:
            if manifest.version in [each.version for each in list_versions(uri)]:
                raise
            continue
        for part, names in (("index", INDEX_NAMES), ("model", MODEL_NAMES)):
            assert sorted(list_folder(target / part)) == sorted(names)
            for name in names:
                content, line = (target / part / name).read_bytes(), make_content(manifest.publication_key, name)
                assert content == line * (len(content) // len(line)) != b""
        found[manifest.version] = manifest.publication_key
    return found


def start_publisher(
    uri: str, key: str, folder: Path, *, kill_at: int = 0, **values
) -> tuple[ForkServerProcess, Connection]:
    """Starts a process that is ready to publish; it begins when it is sent anything, and sends what happened.

    It sends the number of the version, or the message of a conflict. It is killed before the operation on files with
    the number `kill_at`, of those that Python reports to an audit hook; 0 for none.
    """
    forking.set_forkserver_preload([__name__, "components.core.serving.bucket"])
    here, there = forking.Pipe()
    process = forking.Process(target=_publish, args=(there, dict(os.environ), uri, key, folder, kill_at, values))
    process.start()
    there.close()
    here.recv()
    return process, here


def _publish(
    parent: Connection, environment: dict, uri: str, key: str, folder: Path, kill_at: int, values: dict
) -> None:
    os.environ.update(environment)  # the fork server has that of its first use
    draft = make_draft(folder, key, num_bytes=NUM_BYTES, **values)
    parent.send("ready")
    parent.recv()
    if kill_at:
        _kill_before_operation(kill_at)
    try:
        parent.send(open_location(uri).publish(draft, keep=KEEP).version)
    except PublishConflictError as error:
        parent.send(str(error))


def _kill_before_operation(number: int) -> None:
    operations = itertools.count(1)

    def hook(event: str, _: tuple) -> None:
        if (event == "open" or event.startswith(("os.", "shutil."))) and next(operations) == number:
            signal.raise_signal(signal.SIGKILL)

    sys.addaudithook(hook)
