"""A webhook's receiver on the loopback."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "T0KEN-of-the-channel"  # part of each address


@contextmanager
def serve(
    *answers: tuple[int, bytes], headers: dict[str, str] | None = None, hang: float = 0.0
) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each request with the next of the answers, the last one again and again; yields address and bodies."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(hang)
            status, content = answers[min(len(bodies), len(answers)) - 1]
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook/{SECRET}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
