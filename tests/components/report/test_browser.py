"""The report in a headless browser, without a network."""

import json
import re
import shutil
import subprocess
from urllib.parse import urlsplit

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZE = """<script>addEventListener("load", () => {
  document.querySelectorAll("details").forEach(each => each.open = true);
  parent.postMessage(document.documentElement.scrollWidth, "*");
})</script>"""
BROKEN = """<script>addEventListener("load", () => {
  const words = [], texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (text.parentElement.closest("bdi, pre, code, svg, details")) continue;
    for (const word of text.data.matchAll(/\\b[A-Za-z@0-9]{1,20}\\b/g)) {  // no hashes
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(each => each.top)).size > 1) words.push(word[0]);
    }
  }
  parent.postMessage(`${words.length} broken: ${words}`, "*");
})</script>"""
FRAME = """<iframe src="page.html" width="390" height="800"></iframe><p id="width"></p>
<script>addEventListener("message", event => document.getElementById("width").textContent = event.data)</script>"""

# Where the browser itself looks for updates and for the time, with an empty page too.
OWN_HOSTS = ("google.com", "googleapis.com", "gvt1.com")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="Chromium is missing: apt-get install chromium"),
]


def browse(path, folder, *options):
    """Returns the page's elements after loading, what the browser printed, and the addresses that it asked for."""
    log = folder / "net.json"
    done = subprocess.run(
        [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--enable-logging=stderr", f"--log-net-log={log}", "--virtual-time-budget=3000", *options, "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True, text=True, encoding="utf-8", timeout=120, check=True,
    )  # fmt: skip
    found = set(re.findall(r'"url":"((?:https?|ftp|wss?)://[^"]*)"', log.read_text()))
    return done.stdout, done.stderr, {each for each in found if not urlsplit(each).hostname.endswith(OWN_HOSTS)}


def test_no_error_and_no_request(report_path, sources, tmp_path):
    dom, printed, addresses = browse(report_path, tmp_path)
    assert "CONSOLE" not in printed
    assert addresses == set()
    metrics = json.loads(sources.metrics_path.read_text())
    for metric in ("recall@20", "mrr@20"):
        for pointer, value in {
            f"/model/{metric}": metrics["model"][metric],
            **{f"/baselines/{name}/{metric}": each[metric] for name, each in metrics["baselines"].items()},
        }.items():
            assert f'<data data-path="{pointer}" value="{value!r}">{value:.3f}</data>' in dom
    images = re.findall(r"<svg [^>]*>", dom)
    assert len(images) >= 10
    assert all('role="img" aria-label="' in image for image in images)
    assert "<script" not in dom
    assert "<img" not in dom


def test_a_console_error_and_a_request_would_be_seen(report_path, tmp_path):
    text = report_path.read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(text.replace("</main>", '<img src="https://shop.example/x.png"></main>'))
    _, printed, _ = browse(tmp_path / "page.html", tmp_path)
    assert "Content Security Policy" in printed  # the page's own policy keeps it from asking
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    (tmp_path / "page.html").write_text(free.replace("</main>", '<img src="http://127.0.0.1:9/x.png"></main>'))
    _, printed, addresses = browse(tmp_path / "page.html", tmp_path)
    assert "http://127.0.0.1:9/x.png" in addresses


def measure(report_path, folder, script):
    """What the script posts, from the page in a frame of a phone's size."""
    text = report_path.read_text(encoding="utf-8")
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    (folder / "page.html").write_text(free.replace("</main>", f"</main>{script}"), encoding="utf-8")
    (folder / "frame.html").write_text(FRAME)
    dom, _, _ = browse(folder / "frame.html", folder)
    return re.search(r'<p id="width">([^<]+)</p>', dom)[1]


def test_nothing_is_cut_off_on_a_phone(report_path, tmp_path):
    assert int(measure(report_path, tmp_path, SIZE)) <= 390


def test_no_word_is_broken_on_a_phone(report_path, tmp_path):
    assert measure(report_path, tmp_path, BROKEN) == "0 broken: "
