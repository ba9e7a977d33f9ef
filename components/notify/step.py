"""The records of a run's tasks -> a report, sent to a webhook."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.records import Record, read_records
from components.notify.report import make_report, make_text
from components.notify.webhook import make_body, send

WEBHOOK_VARIABLE = "TWO_TOWER_WEBHOOK_URL"  # a secret: whoever knows the address can write to the channel

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NotifyParameters:
    """Parameters of the `notify` step; component.py describes each of them.

    Nothing is checked here: a wrong value is in the log and in the report, and fails nothing.
    """

    pipeline_name: str
    run_id: str
    state: str
    error_message: str = ""
    records_uri: str = ""
    webhook_format: str = "auto"


def notify(path: Path, parameters: NotifyParameters) -> dict[str, Any]:
    """Writes the report and sends it to the webhook whose address is in the environment variable WEBHOOK_VARIABLE.

    Nothing raises: what cannot be read, written or sent is a warning. The address is neither logged nor reported.

    Args:
        path: JSON file to write.
        parameters: the parameters.

    Returns:
        The report.
    """
    tasks, problems = _read(parameters)
    report = make_report(
        tasks,
        problems,
        pipeline=parameters.pipeline_name,
        run=parameters.run_id,
        state=parameters.state,
        error_message=parameters.error_message,
    )
    logger.info(make_text(report))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
        # Half of a surrogate pair, which UTF-8 cannot represent, gets the form that it has in JSON.
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        logger.warning("The report could not be written to %s: %s", path, error)
    url = os.environ.get(WEBHOOK_VARIABLE, "").strip()
    if not url:
        logger.info("No webhook is told: %s is not set.", WEBHOOK_VARIABLE)
        return report
    try:
        reason = send(url, make_body(report, url, parameters.webhook_format))
    except Exception as error:  # its message may contain the address
        reason = type(error).__name__
    if reason:
        logger.warning("The webhook was not told how the run ended: %s", reason)
    return report


def _read(parameters: NotifyParameters) -> tuple[Mapping[str, Record], list[str]]:
    """Returns the records, and why some or all of them cannot be read."""
    if not parameters.records_uri:
        return {}, ["The tasks wrote no records: records_uri is not set."]
    problems: list[str] = []
    try:
        return read_records(parameters.records_uri, parameters.run_id, on_unreadable=problems.append), problems
    except Exception as error:
        return {}, [f"The records of the tasks could not be read. {type(error).__name__}: {error}"]
