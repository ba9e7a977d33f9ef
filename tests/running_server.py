"""A server in a thread of the test's process, and the versions that it serves."""

import asyncio
import dataclasses
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import tensorflow as tf
import uvicorn
from factories import make_vocabulary_of
from lookup_model import LookupModel
from served import DETAILS

from components.core.serving.location import open_location
from components.core.serving.manifest import Draft, list_folder
from components.export.index import Index
from components.serve.parameters import ServeParameters
from components.serve.preparation import prepare
from components.serve.step import run

EMBEDDING_DIM = 16  # of a LookupModel


def save_index(item_ids: list[str], folder: Path, **values: Any) -> Path:
    model = LookupModel(item_ids)
    candidates = model.candidate(tf.constant(item_ids))["embedding"].numpy()
    vocabulary = make_vocabulary_of(item_ids)
    options = {"embedding_dim": EMBEDDING_DIM, "max_length": model.max_length, "serving_k": 5, **values}
    Index(model, vocabulary=vocabulary, candidates=candidates, **options).save(folder)
    return folder


def publish(uri: str, index_dir: Path, key: str) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        vocabulary = Path(scratch, "vocabulary.parquet")
        vocabulary.write_text(key)
        draft = Draft(
            publication_key=key,
            index_files=list_folder(index_dir),
            model_files={"vocabulary.parquet": vocabulary},
            details=DETAILS,
        )
        return open_location(uri).publish(draft, keep=5).version


class Running:
    """A client of a server."""

    def __init__(self, port: int, server: uvicorn.Server) -> None:
        self.port = port
        self.server = server
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **options)

    def post(self, path: str, document: Any = None, **options: Any) -> requests.Response:
        return requests.post(self.url + path, json=document, timeout=30, **options)

    def predict(self, document: Any, path: str = "/v1/models/two_tower:predict") -> Any:
        answer = self.post(path, document)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def metric(self, name: str) -> float:
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split(" ")[0].split("{")[0] == name)

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """Returns what the condition returns once that is true."""
        for _ in range(1_000):
            if found := condition():
                return found
            threading.Event().wait(0.03)
        raise TimeoutError("Expected the condition to become true")

    def version(self) -> int:
        """The version that is served; 0 for none."""
        return int(self.metric("two_tower_model_version"))


@contextmanager
def serve(serving: str | Path, *, titles: dict[str, str] | None = None, **values: Any) -> Iterator[Running]:
    """Serves inside the `with` block."""
    parameters = ServeParameters(serving=str(serving), port=0, **{"poll_seconds": 0.1, **values})
    prepared = dataclasses.replace(prepare(parameters), titles=titles or {})
    started: list[uvicorn.Server] = []
    ready = threading.Event()

    def on_start(server: uvicorn.Server) -> None:
        started.append(server)
        ready.set()

    def work() -> None:
        asyncio.run(run(parameters, prepared, on_start))

    port = prepared.listener.getsockname()[1]
    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(30)
        yield Running(port, started[0])
    finally:
        started[0].should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def exchange(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Sends parts of a request with a pause after each, and returns all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
            threading.Event().wait(pause)
        received = b""
        while block := connection.recv(65_536):
            received += block
        return received
