"""What is let in, and for how long."""

import asyncio
import json
import socket
import threading

import pytest
from running_server import exchange, serve

from components.serve.parameters import ServeParameters

PREDICT = b"POST /v1/models/two_tower:predict HTTP/1.1\r\nhost: x\r\n"
BODY = json.dumps({"instances": [["i1"]]}).encode()
WHOLE = PREDICT + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def server(index_dir):
    bounds = {"max_concurrency": 2, "max_connections": 6, "client_seconds": 0.5, "max_body_bytes": 100_000}
    with serve(index_dir, **bounds, max_pending_bytes=150_000) as running:
        running.wait_for(lambda: running.get("/v2/health/ready").ok)
        yield running


def read_error(received):
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]


@pytest.mark.parametrize(
    "parts",
    [
        (b"POST /v1/mod",),
        (PREDICT,),
        (PREDICT + b"content-length: 30\r\n\r\n", b"{"),
        (PREDICT + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
    ],
    ids=["first line", "headers", "body", "chunks"],
)
def test_a_slow_client_is_told_and_disconnected(server, parts):
    received = exchange(server.port, *parts, pause=0.05)
    assert read_error(received) == (408, "Expected the whole request within 0.5 s")
    server.wait_for(lambda: server.metric("two_tower_requests_in_flight") == 1)  # that of the metrics


def test_a_client_that_is_never_silent_and_never_done_is_disconnected(server):
    def drip(connection):
        for place in range(1_000):
            connection.sendall(PREDICT[place : place + 1] or b"x")
            threading.Event().wait(0.02)

    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, timeout=10) as connection, pytest.raises(ConnectionError):
        drip(connection)


def test_a_silent_connection_is_closed(server):
    assert exchange(server.port) == b""


def test_a_connection_serves_many_requests_and_longer_than_a_request_may_take(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        for _ in range(4):
            connection.sendall(WHOLE)
            received = b""
            while not received.endswith(b"}]}"):
                received += connection.recv(65_536)
            assert received.startswith(b"HTTP/1.1 200 OK\r\n")
            threading.Event().wait(0.3)  # 4 times this is more than a request may take


def test_pipelined_requests_are_answered_in_order(server):
    last = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    received = exchange(server.port, WHOLE + WHOLE + last)
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.endswith(b'{"live":true}')


@pytest.mark.parametrize("name", [b"x" * 20_000, b"x: " + b"y" * 20_000])
def test_long_headers_are_refused(server, name):
    status, error = read_error(exchange(server.port, b"GET / HTTP/1.1\r\n" + name))
    assert (status, error) == (431, "Expected at most 16384 bytes of headers")


@pytest.mark.parametrize(
    "text", [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET  HTTP/9\r\n\r\n"]
)
def test_what_is_not_http_is_refused(server, text):
    status, error = read_error(exchange(server.port, text))
    assert status == 400
    assert error.startswith("Expected a request of HTTP/1.1.")


def test_more_requests_than_allowed_are_refused_at_once(server):
    head = PREDICT + b"content-length: 10\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", server.port)) as first,
        socket.create_connection(("127.0.0.1", server.port)) as second,
    ):
        for each in (first, second):
            each.sendall(head)
        server.wait_for(lambda: server.metric("two_tower_requests_in_flight") == 3)
        answer = server.post("/v1/models/two_tower:predict", {"instances": [["i1"]]})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert answer.json()["error"] == "Expected at most 2 requests at once. Try again in a second."
        assert server.get("/v2/health/ready").ok
    server.wait_for(lambda: server.post("/v1/models/two_tower:predict", {"instances": [["i1"]]}).ok)


def test_the_bodies_of_all_requests_are_bounded(server):
    head = PREDICT + b"content-length: 90000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as first:
        first.sendall(head)
        server.wait_for(lambda: server.metric("two_tower_requests_in_flight") == 2)
        answer = server.post("/v1/models/two_tower:predict", data=b" " * 70_000)
        assert answer.status_code == 429
        assert answer.json()["error"].startswith("Expected at most 150000 bytes in all requests at once.")


def test_more_connections_than_allowed_are_refused_and_probes_are_not(server):
    connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(6)]
    try:
        for each in connections:
            each.sendall(b"P")
        (answer,) = server.wait_for(lambda: find_refusal(server))
        assert answer.json()["error"] == "Too many connections. Try again in a second."
        assert server.get("/v2/health/live").ok
    finally:
        for each in connections:
            each.close()
    server.wait_for(lambda: server.get("/metrics").ok)


def find_refusal(server):
    answer = server.get("/metrics")
    return (answer,) if answer.status_code == 503 else None


def test_what_runs_is_answered_before_the_server_ends(index_dir):
    with serve(index_dir) as running:
        running.wait_for(lambda: running.get("/v2/health/ready").ok)
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
            connection.sendall(WHOLE[:-1])
            running.wait_for(lambda: running.metric("two_tower_requests_in_flight") == 2)
            running.server.should_exit = True
            threading.Event().wait(0.3)
            connection.sendall(WHOLE[-1:])
            received = b""
            while block := connection.recv(65_536):
                received += block
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in received


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"serving": ""}, "Expected a serving location"),
        ({"port": 65_536}, "Expected port to be from 0 to 65535. Received: 65536"),
        ({"max_batch_size": 0}, "Expected max_batch_size to be at least 1. Received: 0"),
        ({"batch_delay_ms": float("nan")}, "Expected batch_delay_ms to be from 0 to 1000. Received: nan"),
        ({"shutdown_seconds": float("inf")}, "Expected shutdown_seconds to be from 0 to 86400. Received: inf"),
        ({"shutdown_seconds": float("nan")}, "Expected shutdown_seconds to be from 0 to 86400. Received: nan"),
        ({"poll_seconds": float("inf")}, "Expected poll_seconds to be from 0.05 to 86400. Received: inf"),
        ({"client_seconds": 1e300}, "Expected client_seconds to be from 0.1 to 86400"),
        ({"queue_seconds": float("inf")}, "Expected queue_seconds to be from 0.01 to 86400"),
        ({"item_column": "sku"}, r"Expected items \(--items\), .* Received: item_column alone, 'sku'"),
        ({"title_column": "name"}, r"Expected items \(--items\), .* Received: title_column alone, 'name'"),
        ({"max_k": 2**31}, "Expected max_k to be from 1 to 2147483647"),
        ({"model_name": "a/b"}, "Expected model_name to be a part of a path. Received: 'a/b'"),
        (
            {"max_body_bytes": 10, "max_pending_bytes": 9},
            "Expected max_pending_bytes to be at least max_body_bytes, 10",
        ),
    ],
)
def test_parameters_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ServeParameters(**{"serving": "x", **values})


def test_a_client_that_leaves_holds_nothing(server):
    async def leave():
        writers = []
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(WHOLE)
            writers.append(writer)
        for each in writers:
            each.transport.abort()

    asyncio.run(leave())
    server.wait_for(lambda: server.get("/metrics").ok and server.metric("two_tower_requests_in_flight") == 1)
    assert server.predict({"instances": [["i1"]]})
