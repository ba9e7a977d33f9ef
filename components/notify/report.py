"""How a run ended, as a document and as text."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from components.core import schema_versions
from components.core.records import FAILED, SUCCEEDED, Record
from components.core.refusal import RefusedError

METRICS = ("recall@20", "mrr@20")
MAX_MESSAGE = 1_000  # characters of an error in the text; the document has all of them


def make_report(
    records: Mapping[str, Record] | str, *, pipeline: str, run: str, state: str, error_message: str
) -> dict[str, Any]:
    """Composes the report of a run. docs/production.md describes its keys.

    KFP's state may still be RUNNING, and its message empty, when the exit task starts. So the records decide where they
    say something.

    Args:
        records: what the tasks say about themselves, by name; a text that says why that cannot be read.
        pipeline: name of the pipeline.
        run: id of the run.
        state: KFP's state of the run, such as SUCCEEDED.
        error_message: KFP's message; empty for none.
    """
    notes = [records] if isinstance(records, str) else []
    tasks: Mapping[str, Record] = {} if isinstance(records, str) else records
    failed = next((record for record in tasks.values() if record.status == FAILED), None)
    done = {name: record.result for name, record in tasks.items() if record.status == SUCCEEDED}
    gate, published = done.get("gate"), done.get("publish")
    if published:
        status = "published"
    elif failed:
        status = "refused" if failed.error.get("type") == RefusedError.__name__ else "failed"
    elif gate and not gate.get("passed"):
        status = "refused"
    else:
        status = "succeeded" if state == "SUCCEEDED" else "failed"
        if tasks or not notes:
            notes.append(
                f"Of the tasks, {', '.join(tasks) or 'none'} ended with a record. Another one was killed, could not "
                "start, or could not write its record; see its log."
            )
    if error_message and not failed:
        notes.append(error_message)
    evaluated = done.get("evaluate", {})
    return {
        "schema_version": schema_versions.NOTIFICATION,
        "pipeline": pipeline,
        "run": run,
        "status": status,
        "state": state,
        "failed_task": failed.task if failed else None,
        "error": failed.error if failed else None,
        "metrics": _pick(evaluated.get("model")),
        "champion": _describe_champion(evaluated.get("champion")),
        "gate": gate or None,
        "version": published["version"] if published else None,
        "serving_uri": published["serving_uri"] if published else None,
        "findings": next((dict(record.findings) for record in tasks.values() if record.findings), {}),
        "tasks": {name: {"status": record.status, "seconds": _seconds(record)} for name, record in tasks.items()},
        "notes": notes,
    }


def make_text(report: Mapping[str, Any]) -> str:
    """Returns the report as a few lines of plain text."""
    outcome = {
        "published": f"published version {report['version']} in {report['serving_uri']}",
        "refused": "the gate refused the model, nothing was published",
    }.get(report["status"], report["status"])
    lines = [f"{report['pipeline']}: {outcome}", f"Run: {report['run']}"]
    if report["error"]:
        message = f"{report['error'].get('type')}: {report['error'].get('message')}"
        cut = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]} ..."
        lines.append(f"The task {report['failed_task']} failed. {cut}")
    if report["gate"]:
        lines.append(f"Gate: {report['gate'].get('reason')}")
    if report["metrics"]:
        lines.append(f"Model: {_show(report['metrics'])}")
    champion = report["champion"]
    if champion and champion["status"] == "compared":
        lines.append(f"On the same targets: champion (version {champion['version']}) {_show(champion['champion'])}")
        lines[-1] += f"; model {_show(champion['model'])}"
    elif champion:
        lines.append(f"Champion: {champion['status'].replace('_', ' ')}. {champion['reason']}")
    return "\n".join([*lines, *report["notes"]])


def _describe_champion(champion: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if champion is None:
        return None
    return {
        "status": champion.get("status"),
        "reason": champion.get("reason"),
        "version": champion.get("version"),
        "model": _pick(champion.get("model")),
        "champion": _pick(champion.get("champion")),
    }


def _pick(metrics: Mapping[str, float] | None) -> dict[str, float]:
    return {name: metrics[name] for name in METRICS if name in metrics} if metrics else {}


def _show(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def _seconds(record: Record) -> float:
    return (datetime.fromisoformat(record.ended) - datetime.fromisoformat(record.started)).total_seconds()
