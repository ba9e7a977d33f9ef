"""HTTP connections that cannot be held for ever."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 16 * 1024


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a time limit for a request to arrive and for an answer to be taken, and short headers.

    uvicorn itself closes only connections that are idle after an answer: https://www.uvicorn.org/settings/#timeouts.

    Class attributes:
        client_seconds: time from the first byte, or from the connection, to the last byte of a request, and time in
            which a client must take what is sent to it.
    """

    client_seconds = 10.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time limit of the first request."""
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._part = "none"  # of the request that is being received: none, headers or body
        self._num_header_bytes = 0
        self._num_received = 0
        super().connection_made(transport)
        self._start_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the time limits."""
        self._stop_reading()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Starts the time limit of the next request, and refuses one with long headers."""
        if self._reading is None:
            self._start_reading()
        num_received = self._num_received
        super().data_received(data)
        # Of data that ends another request, it is not known how much belongs to the headers.
        if self._part == "headers" and self._num_received == num_received:
            self._num_header_bytes += len(data)
            if self._num_header_bytes > MAX_HEADER_BYTES:
                self._refuse(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"Expected at most {MAX_HEADER_BYTES} bytes of headers",
                )

    def on_message_begin(self) -> None:
        """Notes that headers follow."""
        self._part = "headers"
        self._num_header_bytes = 0
        if self._reading is None:
            self._start_reading()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Notes that the headers are complete."""
        self._part = "body"
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Ends the time limit of the request."""
        self._stop_reading()
        self._part = "none"
        self._num_received += 1
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            # It was answered before it was complete, and what came afterwards has ended uvicorn's limit for idleness.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def pause_writing(self) -> None:
        """Starts the time limit in which the client must take what is sent to it."""
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self.client_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Ends that time limit."""
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, in the form of the other errors."""
        self._refuse(HTTPStatus.BAD_REQUEST, f"Expected a request of HTTP/1.1. {msg}")

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Answers beyond the limit of connections in the form of the other errors, and probes as ever.

        A server that is overloaded must not be restarted for it.
        """
        if app is not self.app:
            app = self.app if cycle.scope["path"].startswith("/v2/health/") else refuse_connection
        super()._start_asgi_task(cycle, app)

    def _start_reading(self) -> None:
        self._reading = self.loop.call_later(self.client_seconds, self._end_slow_request)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _end_slow_request(self) -> None:
        self._reading = None
        if self._part != "none":
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"Expected the whole request within {self.client_seconds:g} s")
        elif self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _is_answering(self) -> bool:
        """Whether the late request, or one before it, is being answered, so that nothing else may be written."""
        if self._part == "body":
            return bool(self.cycle.response_started)
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        if self.transport.is_closing():
            return
        if self.pipeline or self._is_answering():
            self.transport.abort()
            return
        body = json.dumps({"error": message}).encode()
        head = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        self.transport.close()


async def refuse_connection(scope: Any, receive: Any, send: Any) -> None:
    """Answers 503, the application for connections beyond the limit."""
    body = b'{"error": "Too many connections. Try again in a second."}'
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"1"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
