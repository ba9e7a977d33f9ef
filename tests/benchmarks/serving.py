"""Latency, throughput, overload, swaps, memory and restarts of `two-tower serve`, on the loopback.

    python tests/benchmarks/serving.py

It needs a few minutes. The clients are another process of the same machine and share its processors. An index of random
vectors in the size of RetailRocket's catalogue is served, and each session has up to 10 items. `empty handler` is the
route /v2/health/live of the same server, which does nothing. `ms of CPU` is what the server took for an answer 200:
on a machine that does other work it is the figure to compare.
"""

import argparse
import asyncio
import json
import multiprocessing
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

try:
    import numpy as np
    import requests
    import uvloop
except ModuleNotFoundError as error:
    raise SystemExit(f"This benchmark needs what `make install` installs. Received: {error}") from error

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

MODEL = "/v1/models/two_tower"
NUM_BODIES = 1_000


class Client(asyncio.Protocol):
    """Sends a request, waits for its answer, and begins again."""

    def __init__(self, load: "Load", place: int) -> None:
        self.load = load
        self.place = place
        self.received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.received = b""
        self.begin = time.perf_counter()
        self.place += 1
        self.transport.write(self.load.requests[self.place % len(self.load.requests)])

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        status = int(head[9:12])
        self.load.statuses[status] += 1
        if status == 200:
            self.load.seconds.append(time.perf_counter() - self.begin)
        if self.load.is_over():
            self.transport.close()
        elif status == 200:
            self.send()
        else:  # as a client should: not at once again
            asyncio.get_running_loop().call_later(0.2, self.again)

    def again(self) -> None:
        if self.transport.is_closing():
            self.load.connect_later(self.place)
        else:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None and not self.load.is_over():
            self.load.statuses[type(error).__name__] += 1
            self.load.connect_later(self.place)


class Load:
    """Clients that ask at the same time until the time is over, or so many requests are answered."""

    def __init__(
        self, port: int, requests: list[bytes], *, num_clients: int, seconds: float, num_requests: int
    ) -> None:
        self.port = port
        self.requests = requests
        self.num_clients = num_clients
        self.num_requests = num_requests
        self.statuses: Counter = Counter()
        self.seconds: list[float] = []
        self.duration = seconds

    def is_over(self) -> bool:
        return time.perf_counter() > self.end or 0 < self.num_requests <= sum(self.statuses.values())

    def connect_later(self, place: int) -> None:
        if not self.is_over():
            asyncio.get_running_loop().create_task(self.connect(place))

    async def connect(self, place: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: Client(self, place), "127.0.0.1", self.port)
        except OSError as error:
            self.statuses[type(error).__name__] += 1
            await asyncio.sleep(0.2)
            self.connect_later(place)

    async def run(self) -> None:
        self.begin = time.perf_counter()
        self.end = self.begin + self.duration
        for begin in range(0, self.num_clients, 200):
            await asyncio.gather(
                *(self.connect(17 * each) for each in range(begin, min(begin + 200, self.num_clients)))
            )
        while not self.is_over():
            await asyncio.sleep(0.05)
        self.took = time.perf_counter() - self.begin
        await asyncio.sleep(0.5)


def work(options: dict, answer: "multiprocessing.connection.Connection") -> None:
    load = Load(**options)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(load.run())
    answer.send((dict(load.statuses), load.seconds, load.took))


def ask(port: int, requests: list[bytes], *, num_clients: int, seconds: float, num_requests: int = 0) -> "Answers":
    options = {
        "port": port, "requests": requests, "num_clients": num_clients, "seconds": seconds,
        "num_requests": num_requests,
    }  # fmt: skip
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(options, there))
    process.start()
    there.close()
    answers = Answers(*here.recv())
    process.join()
    return answers


class Answers:
    """What the clients received."""

    def __init__(self, statuses: dict, seconds: list[float], took: float) -> None:
        self.statuses = statuses
        self.cpu_ms = float("nan")
        self.per_second = statuses.get(200, 0) / took
        self.p50, self.p99 = (1_000 * np.quantile(seconds or [np.nan], q) for q in (0.5, 0.99))

    def __str__(self) -> str:
        counts = ", ".join(f"{status}: {count:,}" for status, count in sorted(self.statuses.items(), key=str))
        times = f"p50 {self.p50:8.1f} ms  p99 {self.p99:8.1f} ms  {self.cpu_ms:6.2f} ms of CPU"
        return f"{self.per_second:8,.0f}/s  {times}  {counts}"


class Server:
    """The server in a process of its own."""

    def __init__(self, serving: str, *options: str, port: int = 0) -> None:
        self.port = port or find_port()
        command = [sys.executable, "-m", "components.serve", "--serving", serving, "--port", str(self.port), *options]
        begin = time.perf_counter()
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        while not self.is_ready():
            if self.process.poll() is not None:
                raise SystemExit(f"The server ended with {self.process.returncode}.")
            time.sleep(0.02)
        self.seconds_to_ready = time.perf_counter() - begin

    def is_ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/v2/health/ready", timeout=10).ok
        except requests.RequestException:
            return False

    def read_metric(self, name: str) -> float:
        lines = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=30).text.splitlines()
        return next(float(line.split(" ")[1]) for line in lines if line.startswith(f"{name} "))

    def ask(self, requests: list[bytes], **options: float) -> "Answers":
        """Like `ask`, with the time of the processors that the server took."""
        begin = self.read_metric("process_cpu_seconds_total")
        answers = ask(self.port, requests, **options)
        seconds = self.read_metric("process_cpu_seconds_total") - begin
        answers.cpu_ms = 1_000 * seconds / max(1, answers.statuses.get(200, 0))
        return answers

    def memory(self) -> float:
        return self.read_metric("process_resident_memory_bytes") / 2**20

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait()


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_requests(num_items: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(NUM_BODIES):
        session = [f"i{item}" for item in rng.zipf(1.3, rng.integers(1, 11)) % num_items]
        row = {"item_ids": session, "k": 20, "exclude_ids": session}
        body = json.dumps({"signature_name": "recommend", "instances": [row]}).encode()
        head = f"POST {MODEL}:predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        made.append(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return made


def publish(uri: str, num_items: int, dimension: int, key: str) -> None:
    """In a process of its own, so that this one never loads TensorFlow."""
    import running_server
    from lookup_model import LookupModel

    item_ids = [f"i{number}" for number in range(num_items)]
    running_server.LookupModel = lambda ids: LookupModel(ids, embedding_dim=dimension, max_length=20)
    with tempfile.TemporaryDirectory() as folder:
        running_server.save_index(item_ids, Path(folder, "index"), embedding_dim=dimension, serving_k=20)
        running_server.publish(uri, Path(folder, "index"), key)


def main() -> None:
    """Runs all parts, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=36_751)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--clients", type=int, default=1_000, help="Clients below the limit.")
    parser.add_argument("--seconds", type=float, default=60.0, help="Of the part with a swap; the others take a third.")
    parser.add_argument("--overload-clients", type=int, default=5_000, help="Clients above the limits.")
    parser.add_argument("--requests", type=int, default=100_000, help="Of the part about memory.")
    arguments = parser.parse_args()
    spawning = multiprocessing.get_context("spawn")
    bodies = make_requests(arguments.items)
    empty = [b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"]
    part = max(1.0, arguments.seconds / 3)
    with tempfile.TemporaryDirectory() as folder:
        uri = str(Path(folder, "served"))

        def make(key: str) -> None:
            process = spawning.Process(target=publish, args=(uri, arguments.items, arguments.dim, key))
            process.start()
            process.join()

        make("first")
        for name, options in (("no batching", ("--max-batch-size", "1", "--batch-delay-ms", "0")), ("batching", ())):
            server = Server(uri, *options)
            ask(server.port, bodies, num_clients=64, seconds=part / 4)
            for num_clients in (1, 64):
                answers = server.ask(bodies, num_clients=num_clients, seconds=part)
                print(f"{name:14} {num_clients:5,} clients {answers}", flush=True)
            size = server.read_metric("two_tower_batch_size_sum") / server.read_metric("two_tower_batch_size_count")
            print(f"{name:14} mean batch {size:.1f}", flush=True)
            server.end()

        server = Server(uri)
        ask(server.port, bodies, num_clients=64, seconds=part / 4)
        answers = server.ask(empty, num_clients=arguments.clients, seconds=part)
        print(f"{'empty handler':14} {arguments.clients:5,} clients {answers}", flush=True)
        before = server.memory()
        swap = threading.Timer(arguments.seconds / 4, make, ["second"])
        swap.start()
        answers = server.ask(bodies, num_clients=arguments.clients, seconds=arguments.seconds)
        swap.join()
        while server.read_metric("two_tower_model_version") < 2:
            time.sleep(0.1)
        print(f"{'with a swap':14} {arguments.clients:5,} clients {answers}", flush=True)
        answers = server.ask(bodies, num_clients=arguments.overload_clients, seconds=part)
        print(f"{'overload':14} {arguments.overload_clients:5,} clients {answers}", flush=True)
        print(f"memory: before {before:,.0f} MiB, after {server.memory():,.0f} MiB", flush=True)
        sizes = []
        for _ in range(4):
            ask(server.port, bodies, num_clients=64, seconds=3_600, num_requests=arguments.requests // 4)
            sizes.append(f"{server.memory():,.0f}")
        print(f"memory: {arguments.requests:,} requests, after each quarter {', '.join(sizes)} MiB", flush=True)

        restarted: list[Server] = []

        def restart() -> None:
            server.end(signal.SIGKILL)
            restarted.append(Server(uri, port=server.port))

        timer = threading.Timer(part / 4, restart)
        timer.start()
        ask(server.port, bodies, num_clients=64, seconds=part)
        timer.join()
        again = restarted[0]
        answers = again.ask(bodies, num_clients=64, seconds=part / 4)
        print(f"restart: ready {again.seconds_to_ready:.1f} s after kill -9 under load", flush=True)
        print(f"{'afterwards':14} {64:5,} clients {answers}", flush=True)
        again.end()


if __name__ == "__main__":
    main()
