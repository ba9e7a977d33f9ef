"""Objects in memory behind Google Cloud Storage's JSON API, over HTTP, as far as reading and listing go."""

import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Objects = dict[str, bytes]


@contextmanager
def serve(bucket: str, objects: Objects) -> Iterator[str]:
    """Serves the objects, by their names in the bucket, and yields the address.

    In a process of its own: pyarrow keeps the interpreter's lock while it opens a file.
    """
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=_run, args=(bucket, objects, there), daemon=True)
    process.start()
    there.close()  # so that a process that dies is seen
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _run(bucket: str, objects: Objects, parent: Connection) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            place, name = address.path.removeprefix("/storage/v1/b/").partition("/o")[::2]
            name = unquote(name.removeprefix("/"))
            if not self.headers.get("Authorization", "").startswith("Bearer "):
                self._answer(401, b"{}")
            elif place != bucket or (name and name not in objects):
                self._answer(404, b'{"error": {"code": 404, "message": "Not Found"}}')
            elif not name:
                listed = [
                    _describe(bucket, each, objects) for each in objects if each.startswith(query.get("prefix", ""))
                ]
                self._answer(200, json.dumps({"kind": "storage#objects", "items": listed}).encode())
            elif query.get("alt") == "media":
                begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
                self._answer(206 if begin else 200, objects[name][begin:])
            else:
                self._answer(200, json.dumps(_describe(bucket, name, objects)).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    parent.send(f"http://127.0.0.1:{server.server_address[1]}")
    server.serve_forever()


def _describe(bucket: str, name: str, objects: Objects) -> dict[str, str]:
    return {
        "kind": "storage#object",
        "bucket": bucket,
        "name": name,
        "generation": "1",
        "size": str(len(objects[name])),
    }


def make_account() -> dict[str, str]:
    """A service account's file, whose key nobody knows; clients sign their tokens themselves."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {
        "type": "service_account",
        "private_key_id": "1",
        "private_key": pem,
        "client_email": "reader@project.iam.gserviceaccount.com",
        "client_id": "1",
    }
