"""How a run ended, as a document and as text."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from components.core import schema_versions
from components.core.records import FAILED, SUCCEEDED, Record
from components.core.refusal import RefusedError

METRICS = ("recall@20", "mrr@20")
MAX_MESSAGE = 1_000  # characters of an error in the text; the document has all of them
ENDED = {
    "SUCCEEDED": "succeeded",
    "COMPLETE": "succeeded",
    "CACHED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "failed",
    "CANCELED": "failed",
}  # KFP's final states; Kubeflow's are those of its metadata store, such as COMPLETE


def make_report(
    tasks: Mapping[str, Record],
    problems: Sequence[str] = (),
    *,
    pipeline: str,
    run: str,
    state: str,
    error_message: str,
) -> dict[str, Any]:
    """Composes the report of a run, whatever its records hold. docs/production.md describes its keys.

    KFP's state may still be RUNNING, and its message empty, when the exit task starts. So the records decide where they
    say something.

    Args:
        tasks: what the tasks say about themselves, by name.
        problems: why records could not be read, each a sentence; empty if all could.
        pipeline: name of the pipeline.
        run: id of the run.
        state: KFP's state of the run, such as SUCCEEDED.
        error_message: KFP's message; empty for none.
    """
    notes = list(problems)
    failed = next((record for record in tasks.values() if record.status == FAILED), None)
    done = {name: record.result for name, record in tasks.items() if record.status == SUCCEEDED}
    gate, published = done.get("gate", {}), done.get("publish", {})
    if "publish" in done:
        status = "published"
    elif failed:
        status = "refused" if failed.error.get("type") == RefusedError.__name__ else "failed"
    elif gate.get("passed") is False:
        status = "refused"
    elif problems:
        status = ENDED.get(state, "unknown")
    else:
        status = "succeeded" if ENDED.get(state) == "succeeded" else "failed"
        notes.append(
            f"Of the tasks, {', '.join(tasks) or 'none'} ended with a record. Another one was killed, could not "
            "start, or could not write its record; see its log."
        )
    if error_message and not failed:
        notes.append(error_message)
    version, serving_uri = _get(published, "version", int), _get(published, "serving_uri", str)
    champion = done.get("evaluate", {}).get("champion")
    metrics = _pick(done.get("evaluate", {}).get("model"))
    expected = {
        "evaluate": {**{name: metrics.get(name) for name in METRICS}, "champion": _get(champion, "status", str)},
        "gate": {"passed": _get(gate, "passed", bool), "reason": _get(gate, "reason", str)},
        "publish": {"version": version, "serving_uri": serving_uri},
    }
    for task, values in expected.items():
        missing = [name for name, value in values.items() if value is None]
        if task in done and missing:
            notes.append(f"The record of {task} lacks {', '.join(missing)}.")
    return {
        "schema_version": schema_versions.NOTIFICATION,
        "pipeline": pipeline,
        "run": run,
        "status": status,
        "state": state,
        "failed_task": failed.task if failed else None,
        "error": failed.error if failed else None,
        "metrics": metrics,
        "champion": _describe_champion(champion),
        "gate": gate or None,
        "version": version,
        "serving_uri": serving_uri,
        "findings": next((dict(record.findings) for record in tasks.values() if record.findings), {}),
        "tasks": {name: {"status": record.status, "seconds": _seconds(record)} for name, record in tasks.items()},
        "notes": notes,
    }


def make_text(report: Mapping[str, Any]) -> str:
    """Returns the report as a few lines of plain text.

    Args:
        report: result of `make_report`.
    """
    outcome = {
        "published": f"published version {_show(report['version'])} in {_show(report['serving_uri'])}",
        "refused": "the gate refused the model, nothing was published",
        "unknown": "the run ended, it is not known how",
    }.get(report["status"], report["status"])
    lines = [f"{report['pipeline']}: {outcome}", f"Run: {report['run']}"]
    if report["failed_task"]:
        error = [str(report["error"][key]) for key in ("type", "message") if report["error"].get(key)]
        message = ": ".join(error) or "Its record does not say why."
        cut = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]} ..."
        lines.append(f"The task {report['failed_task']} failed. {cut}")
    if report["gate"]:
        lines.append(f"Gate: {_show(report['gate'].get('reason'))}")
    if report["metrics"]:
        lines.append(f"Model: {_show_metrics(report['metrics'])}")
    champion = report["champion"]
    if champion and champion["status"] == "compared":
        lines.append(
            f"On the same targets: champion (version {_show(champion['version'])}) "
            f"{_show_metrics(champion['champion'])}; model {_show_metrics(champion['model'])}"
        )
    elif champion:
        lines.append(f"Champion: {_show(champion['status']).replace('_', ' ')}. {_show(champion['reason'])}")
    return "\n".join([*lines, *report["notes"]])


def _describe_champion(champion: Any) -> dict[str, Any] | None:
    if not isinstance(champion, dict):
        return None
    return {
        "status": _get(champion, "status", str),
        "reason": _get(champion, "reason", str),
        "version": _get(champion, "version", int),
        "model": _pick(champion.get("model")),
        "champion": _pick(champion.get("champion")),
    }


def _get(document: Any, name: str, kind: type) -> Any:
    """Returns a value of a document; None if it is not there or of another type."""
    value = document.get(name) if isinstance(document, dict) else None
    return value if type(value) is kind else None


def _pick(metrics: Any) -> dict[str, float]:
    found = {name: _get(metrics, name, float) for name in METRICS}
    return {name: value for name, value in found.items() if value is not None and 0 <= value <= 1}


def _show(value: Any) -> str:
    return "(not recorded)" if value is None else str(value)


def _show_metrics(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()) or _show(None)


def _seconds(record: Record) -> float | None:
    try:
        return (datetime.fromisoformat(record.ended) - datetime.fromisoformat(record.started)).total_seconds()
    except (ValueError, TypeError):  # not a time, or one with and one without a time zone
        return None
