"""Objects in memory behind Google Cloud Storage's interfaces, over HTTP.

The JSON API can read and list, which is what pyarrow uses. The XML API can also create, overwrite and delete, which is
what obstore uses (https://cloud.google.com/storage/docs/xml-api/overview).
"""

import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

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
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            name = self._find_name()
            if name is None:
                return
            with lock:
                is_refused = self.headers.get("x-goog-if-generation-match") == "0" and name in objects
                if not is_refused:
                    objects[name] = body
            self._answer(412 if is_refused else 200, b"", etag=True)

        def do_DELETE(self) -> None:
            name = self._find_name()
            if name is not None:
                self._answer(404 if objects.pop(name, None) is None else 204, b"")

        def _find_name(self) -> str | None:
            """The object of a request to the XML API; None if the bucket is not there and the request is answered."""
            place, _, name = unquote(urlsplit(self.path).path).removeprefix("/").partition("/")
            if place == bucket and self.headers.get("Authorization", "").startswith("Bearer "):
                return name
            self._answer(404 if place != bucket else 401, b"<Error><Code>NoSuchBucket</Code></Error>")
            return None

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if not address.path.startswith("/storage/"):
                name = self._find_name()
                if name:
                    self._answer(200 if name in objects else 404, objects.get(name, b""), etag=True)
                elif name is not None:
                    prefix = parse_qs(address.query).get("prefix", [""])[0]
                    listed = [
                        f"<Contents><Key>{escape(each)}</Key><Size>{len(objects[each])}</Size>"
                        f"<LastModified>2026-01-01T00:00:00Z</LastModified><ETag>1</ETag></Contents>"
                        for each in sorted(objects)
                        if each.startswith(prefix)
                    ]
                    self._answer(200, f"<ListBucketResult>{''.join(listed)}</ListBucketResult>".encode())
                return
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

        def _answer(self, status: int, body: bytes, *, etag: bool = False) -> None:
            self.send_response(status)
            if etag:
                self.send_header("ETag", '"1"')
                self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
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
