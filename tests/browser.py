"""A page in Chromium, over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol)."""

import base64
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Page:
    """A page of a phone's size."""

    def __init__(self, address: str, *, width: int = 390, height: int = 844) -> None:
        self._socket = websocket.create_connection(address, timeout=60, suppress_origin=True)
        self._number = 0
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": values}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def evaluate(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href.startsWith('http')")

    def wait_for(self, expression: str) -> Any:
        for _ in range(600):
            if found := self.evaluate(expression):
                return found
            threading.Event().wait(0.05)
        raise TimeoutError(f"Expected to become true: {expression}")

    def choose_scheme(self, scheme: str) -> None:
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def take_picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        self._socket.close()


@contextmanager
def browse(folder: Path, **size: int) -> Iterator[Page]:
    """Opens a page; skips the test where there is no Chromium. The folder holds its profile."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium or Google Chrome on the PATH")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    process = subprocess.Popen(
        [CHROMIUM, *options, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        active = folder / "DevToolsActivePort"
        for _ in range(1_200):
            if active.is_file() and active.read_text().count("\n"):
                break
            threading.Event().wait(0.05)
        port = active.read_text().split("\n")[0]
        opened = requests.put(f"http://127.0.0.1:{port}/json/new?about:blank", timeout=30).json()
        page = Page(opened["webSocketDebuggerUrl"], **size)
        try:
            yield page
        finally:
            page.close()
    finally:
        process.terminate()
        process.wait(30)
