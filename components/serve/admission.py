"""What is let in: how many requests, how many bytes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from components.serve.parameters import ServeParameters
from components.serve.queries import RequestError


class Admission:
    """Bounds the requests that are answered at once and the memory of their bodies.

    Args:
        bounds: what is allowed.
    """

    def __init__(self, bounds: ServeParameters) -> None:
        self._bounds = bounds
        self._num_requests = 0
        self._num_bytes = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Reads the body of a request, which is counted inside the `with` block.

        Raises:
            RequestError: there are too many requests, or the body is too large or compressed.
        """
        if self._num_requests >= self._bounds.max_concurrency:
            raise RequestError(
                f"Expected at most {self._bounds.max_concurrency} requests at once. Try again in a second.", 429
            )
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise RequestError(f"Expected a body without compression. Received: {encoding[:40]!a}", 415)
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit():
            num_bytes = int(length)
        else:
            # In chunks, the body may become as long as is allowed; with neither header, there is none (RFC 9112, 6.3).
            num_bytes = self._bounds.max_body_bytes if "transfer-encoding" in request.headers else 0
        self._check_length(num_bytes)
        if self._num_bytes + num_bytes > self._bounds.max_pending_bytes:
            raise RequestError(
                f"Expected at most {self._bounds.max_pending_bytes} bytes in all requests at once. "
                "Try again in a second.",
                429,
            )
        self._num_requests += 1
        self._num_bytes += num_bytes
        try:
            yield await self._read(request)
        finally:
            self._num_requests -= 1
            self._num_bytes -= num_bytes

    async def _read(self, request: Request) -> bytes:
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                self._check_length(len(body))
        except ClientDisconnect as error:
            raise RequestError("The client has closed the connection before its request was complete.") from error
        return bytes(body)

    def _check_length(self, num_bytes: int) -> None:
        if num_bytes > self._bounds.max_body_bytes:
            raise RequestError(
                f"Expected a body of at most {self._bounds.max_body_bytes} bytes. Received: {num_bytes} or more", 413
            )
