"""Sends a report to a webhook, in the form that its receiver takes.

- Slack's incoming webhooks take `text`, in which &, < and > are escaped
  (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks). Google Chat and Mattermost take the same.
- Workflows of Microsoft Teams take a message with an Adaptive Card
  (https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using).
- Other receivers get `text` and the entries of the report.
"""

import html
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit

from components.notify.report import make_text

FORMATS = ("slack", "teams", "plain")
_HOSTS = {
    "hooks.slack.com": "slack",
    "chat.googleapis.com": "slack",
    "logic.azure.com": "teams",
    "api.powerplatform.com": "teams",
    "webhook.office.com": "teams",
}
TIMEOUT_SECONDS = 10.0  # of each step of a request
LIMIT_SECONDS = 45.0  # of all tries together, however slowly the receiver answers
PAUSES_SECONDS = (1.0, 5.0)  # between the tries
_MAX_ANSWER = 256  # bytes


def make_body(report: Mapping[str, Any], url: str, webhook_format: str = "auto") -> dict[str, Any]:
    """Returns the JSON to send.

    Args:
        report: result of `make_report`.
        url: address of the webhook, whose host tells the format.
        webhook_format: one of FORMATS; any other text for the format of the host, or plain.
    """
    host = urlsplit(url).hostname or ""
    found = next((form for end, form in _HOSTS.items() if host == end or host.endswith(f".{end}")), "plain")
    form, text = webhook_format if webhook_format in FORMATS else found, make_text(report)
    if form == "slack":
        return {"text": html.escape(text, quote=False)}
    if form == "teams":
        title, *lines = text.split("\n")
        body = [{"type": "TextBlock", "text": title, "weight": "Bolder", "wrap": True}]
        body += [{"type": "TextBlock", "text": line, "wrap": True} for line in lines]
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.2",
            "body": body,
        }
        content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        return {"type": "message", "attachments": [content]}
    return {"text": text, **report}


def send(url: str, body: Mapping[str, Any]) -> str:
    """Posts JSON to a webhook, at most three times if its receiver is out of order for the moment.

    Args:
        url: address, http:// or https://.
        body: the JSON.

    Returns:
        Why it was not delivered, without the address; empty if it was.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        return "the address does not begin with http:// or https://"
    outcomes: list[str] = []
    # A receiver that sends a byte now and then holds up a request for ever, whatever its timeout.
    thread = threading.Thread(target=lambda: outcomes.append(_try(url, json.dumps(body).encode())), daemon=True)
    thread.start()
    thread.join(LIMIT_SECONDS)
    return outcomes[0] if outcomes else f"no complete answer within {LIMIT_SECONDS:g} s"


def _try(url: str, content: bytes) -> str:
    for pause in (*PAUSES_SECONDS, None):
        reason, is_temporary = _post(url, content)
        if not is_temporary or pause is None:
            break
        time.sleep(pause)
    return reason


def _post(url: str, content: bytes) -> tuple[str, bool]:
    """Returns why the content was not delivered, and whether another try may help."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    try:
        request = urllib.request.Request(url, data=content, headers=headers)  # noqa: S310 (the scheme was checked)
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS) as response:
            answer = response.read(_MAX_ANSWER)
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP status {error.code}", error.code == 429 or error.code >= 500
    except urllib.error.URLError as error:  # its text may name the host
        return type(error.reason).__name__, isinstance(error.reason, ConnectionError)
    except Exception as error:
        return type(error).__name__, False
    # Slack answers "ok" and calls it HTML.
    return "an HTML page as the answer" if answer.lstrip()[:1] == b"<" else "", False


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirection, such as to a page for signing in, for an error."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follows none."""
