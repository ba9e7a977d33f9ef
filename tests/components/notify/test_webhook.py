"""What receivers get, from servers on the loopback."""

import json
from pathlib import Path

import pytest
from webhook_server import SECRET, serve

from components.core.records import recorded
from components.notify import webhook
from components.notify.step import WEBHOOK_VARIABLE, NotifyParameters, notify
from components.notify.webhook import make_body, send

REPORT = {
    "pipeline": "two-tower", "run": "run-1", "status": "failed", "version": None, "serving_uri": None,
    "failed_task": "train",
    "error": {"type": "ValueError", "message": "Expected <b> & more"}, "gate": None, "metrics": {},
    "champion": None, "notes": [],
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(webhook, "PAUSES_SECONDS", (0.0, 0.0))


def test_a_body_arrives():
    with serve((200, b"ok"), headers={"Content-Type": "text/html"}) as (url, bodies):  # as Slack answers
        assert send(url, {"text": "naïve 漢"}) == ""
    assert [json.loads(body) for body in bodies] == [{"text": "naïve 漢"}]


@pytest.mark.parametrize(
    ("answer", "headers", "reason", "tries"),
    [
        ((500, b"<html>"), {}, "HTTP status 500", 3),
        ((429, b""), {}, "HTTP status 429", 3),
        ((404, b"no_service"), {}, "HTTP status 404", 1),
        ((200, b"  <!DOCTYPE html><title>Sign in"), {}, "an HTML page as the answer", 1),
        ((302, b""), {"Location": f"/sign-in?{SECRET}"}, "HTTP status 302", 1),
    ],
)
def test_what_does_not_take_it_is_named_without_its_address(answer, headers, reason, tries):
    with serve(answer, headers=headers) as (url, bodies):
        assert send(url, {"text": "x"}) == reason
    assert len(bodies) == tries


def test_a_receiver_that_comes_back_gets_it():
    with serve((503, b""), (200, b"ok")) as (url, bodies):
        assert send(url, {"text": "x"}) == ""
    assert len(bodies) == 2


def test_a_receiver_that_does_not_answer_is_left(monkeypatch):
    with serve((200, b"ok"), hang=1.0) as (url, bodies):
        monkeypatch.setattr(webhook, "TIMEOUT_SECONDS", 0.1)
        assert send(url, {"text": "x"}) == "TimeoutError"
        monkeypatch.setattr(webhook, "TIMEOUT_SECONDS", 60)
        monkeypatch.setattr(webhook, "LIMIT_SECONDS", 0.1)
        assert send(url, {"text": "x"}) == "no complete answer within 0.1 s"
    assert len(bodies) == 2


DEAD = [
    f"http://127.0.0.1:1/{SECRET}",
    f"http://no-such-host.invalid/{SECRET}",
    f"https://user:{SECRET}@127.0.0.1:port/x",
    f"ftp://127.0.0.1/{SECRET}",
    f"{SECRET}",
    f"http://[{SECRET}/",
    f"http://127.0.0.1:1/{SECRET}\nX: y",
]


@pytest.mark.parametrize("url", DEAD)
def test_a_dead_webhook_fails_nothing_and_its_address_is_nowhere(url, tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.setenv(WEBHOOK_VARIABLE, url)
    caplog.set_level("DEBUG")
    arguments = {"records_uri": str(tmp_path), "run_id": "run-1", "task_name": "train"}
    with pytest.raises(ValueError, match="Expected x"), recorded(arguments):
        raise ValueError("Expected x")
    parameters = NotifyParameters(pipeline_name="p", run_id="run-1", state="FAILED", records_uri=str(tmp_path))
    document = notify(tmp_path / "notification.json", parameters)
    assert (document["status"], document["failed_task"]) == ("failed", "train")
    assert "The webhook was not told how the run ended" in caplog.text
    printed = capfd.readouterr()
    written = [path.read_text() for path in tmp_path.rglob("*.json")]
    assert SECRET not in "".join([caplog.text, printed.out, printed.err, *written])


def test_nothing_that_is_wrong_fails_the_step(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv(WEBHOOK_VARIABLE, raising=False)
    (tmp_path / "file").touch()
    for uri, note in (
        ("", "The tasks wrote no records: records_uri is not set."),
        ("http://shop", "The records of the tasks could not be read. ValueError: Expected records_uri to be"),
    ):
        parameters = NotifyParameters(pipeline_name="p", run_id="run-1", state="FAILED", records_uri=uri)
        document = notify(tmp_path / "file" / "notification.json", parameters)
        assert document["notes"][0].startswith(note)
    assert "The report could not be written" in caplog.text


def test_the_step_sends_what_it_writes(tmp_path, monkeypatch):
    with serve((200, b"")) as (url, bodies):
        monkeypatch.setenv(WEBHOOK_VARIABLE, f" {url}\n")
        notify(tmp_path / "n.json", NotifyParameters(pipeline_name="p", run_id="run-1", state="SUCCEEDED"))
    (body,) = map(json.loads, bodies)
    assert body.pop("text").startswith("p: succeeded\nRun: run-1\n")
    assert body == json.loads(Path(tmp_path, "n.json").read_text())


def test_each_receiver_gets_its_own_form():
    text = "two-tower: failed\nRun: run-1\nThe task train failed. ValueError: Expected <b> & more"
    for url in ("https://hooks.slack.com/services/T/B/x", "https://chat.googleapis.com/v1/spaces/x"):
        escaped = "two-tower: failed\nRun: run-1\nThe task train failed. ValueError: Expected &lt;b&gt; &amp; more"
        assert make_body(REPORT, url) == {"text": escaped}
    plain = make_body(REPORT, "https://shop.example/hooks.slack.com")
    assert plain == {"text": text, **REPORT}
    for url in ("https://x.westeurope.logic.azure.com/w", "https://x.webhook.office.com/webhookb2/x"):
        body = make_body(REPORT, url)
        assert (body["type"], len(body["attachments"])) == ("message", 1)
        (attachment,) = body["attachments"]
        assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        assert attachment["content"]["type"] == "AdaptiveCard"
        assert "\n".join(block["text"] for block in attachment["content"]["body"]) == text
    assert make_body(REPORT, "https://hooks.slack.com/x", "plain") == plain
    assert make_body(REPORT, "https://chat.shop.example", "teams") == body
