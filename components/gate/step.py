"""Metrics, index check and data report -> whether the model may be published, and why."""

from pathlib import Path

from components.core.intake.drift import REPORT_NAME
from components.core.refusal import RefusedError
from components.gate.documents import Document, Documents
from components.gate.parameters import GateParameters
from components.gate.rules import RULES
from components.gate.verdict import Verdict, decide, refuse


def gate(
    metrics_path: Path,
    index_check_path: Path,
    events_dir: Path,
    verdict_path: Path,
    report_path: Path,
    parameters: GateParameters,
) -> Verdict:
    """Judges the model and writes the verdict. Whatever goes wrong on the way is a refusal.

    A refusing verdict is written before anything is read, so that a killed gate leaves no other one.

    Args:
        metrics_path: metrics.json of `evaluate`.
        index_check_path: index_check.json of `export`.
        events_dir: the events artifact, with its report.json.
        verdict_path: JSON file to write.
        report_path: Markdown file to write.
        parameters: the bounds.

    Returns:
        The verdict.

    Raises:
        OSError: the verdict cannot be written.
        RefusedError: the model is refused, and `fail_when_refused` is set. The files are written.
    """
    unfinished = Verdict(
        judgements=(refuse("gate", RuntimeError("The gate ended before it had judged the model")),),
        parameters=GateParameters(),
    )
    _write(unfinished.to_json(), verdict_path)
    try:
        documents = Documents(
            metrics=Document.read(metrics_path, "metrics.json"),
            index_check=Document.read(index_check_path, "index_check.json"),
            report=Document.read(events_dir / REPORT_NAME, "report.json"),
        )
        verdict = decide(documents, parameters, RULES)
        document, report = verdict.to_json(), verdict.to_markdown()
    except Exception as error:
        verdict = Verdict(judgements=(refuse("gate", error),), parameters=parameters)
        document, report = verdict.to_json(), verdict.to_markdown()
    _write(report, report_path)
    _write(document, verdict_path)
    if parameters.fail_when_refused and not verdict.passed:
        raise RefusedError(f"The gate refused the model. {verdict.reason}")
    return verdict


def _write(text: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
