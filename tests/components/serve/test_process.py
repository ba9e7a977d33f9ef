"""The command as a process: how it starts, how it ends and what it logs."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests
from running_server import publish
from s3_server import find_port

ROOT = Path(__file__).parents[3]


class Process:
    def __init__(self, *arguments, module="components.serve"):
        self.port = find_port()
        command = [sys.executable, "-m", module, *arguments, "--port", str(self.port)]
        self.popen = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        self.lines = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.popen.stderr), daemon=True)
        self._reader.start()

    def get(self, path):
        try:
            return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=10).status_code
        except requests.RequestException:
            return None

    def wait_until_ready(self):
        for _ in range(2_000):
            if self.get("/v2/health/ready") == 200:
                return
            assert self.popen.poll() is None, self.lines
            threading.Event().wait(0.05)
        raise TimeoutError("Expected the server to become ready")

    def end(self, number):
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        code = self.popen.wait(60)
        self._reader.join(10)
        self.popen.stderr.close()
        return code


@pytest.mark.slow
@pytest.mark.parametrize("module", ["components.serve", "pipeline"])
def test_it_ends_in_order_and_logs_json(location, module):
    command = ("serve",) if module == "pipeline" else ()
    process = Process(*command, "--serving", location, "--log-requests", module=module)
    try:
        process.wait_until_ready()
        assert process.end(signal.SIGTERM) == 0
    finally:
        process.end(signal.SIGKILL)
    documents = [json.loads(line) for line in process.lines]
    assert all(each.keys() >= {"time", "severity", "message"} for each in documents)
    messages = [each["message"] for each in documents]
    assert f"Listening on http://127.0.0.1:{process.port}." in messages
    assert "Version 1 is served." in messages
    assert messages[-1] == "All requests are answered."
    requested = [each for each in documents if each["message"] == "request"]
    assert requested[-1]["path"] == "/v2/health/ready"
    assert requested[-1]["status"] == 200


@pytest.mark.slow
def test_it_serves_again_after_a_kill(location, other_index_dir):
    process = Process("--serving", location)
    try:
        process.wait_until_ready()
        process.end(signal.SIGKILL)
        publish(location, other_index_dir, "second")
        again = Process("--serving", location)
        try:
            again.wait_until_ready()
            found = requests.get(f"http://127.0.0.1:{again.port}/v1/models/two_tower", timeout=10).json()
            assert found["model_version_status"][0]["version"] == "2"
            assert again.end(signal.SIGINT) == 0
        finally:
            again.end(signal.SIGKILL)
    finally:
        process.end(signal.SIGKILL)


def fail(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "components.serve", *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.slow
def test_wrong_input_is_refused_before_anything_is_loaded(tmp_path, index_dir):
    code, said = fail("--serving", str(tmp_path / "none"))
    assert (code, "which does not exist" in said) == (1, True)
    code, said = fail("--serving", "ftp://models")
    assert (code, said) == (
        1, "two-tower: Expected a local folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX. Received: 'ftp://models'\n",
    )  # fmt: skip
    code, said = fail("--serving", str(index_dir), "--items", str(tmp_path / "none.csv"))
    assert (code, "Expected a file, a folder with files or a matching glob" in said) == (1, True)
    code, said = fail("--serving", str(index_dir), "--max-batch-size", "0")
    assert (code, said) == (1, "two-tower: Expected max_batch_size to be at least 1. Received: 0\n")
    assert fail()[0] == 2
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "saved_model.pb").write_bytes(b"torn")
    code, said = fail("--serving", str(tmp_path), "--port", "0")
    assert (code, f"two-tower: Expected an index in {tmp_path}/index. Received: OSError" in said) == (1, True)
    code, said = fail("--serving", str(index_dir), "--host", "192.0.2.1")
    assert (code, "Expected to listen on 192.0.2.1, port 8501. Received: " in said) == (1, True)
