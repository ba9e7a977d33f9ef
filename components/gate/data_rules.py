"""Rules about the data that the model was trained and tested on."""

from dataclasses import fields

from components.core.intake.acceptance import FINDINGS, OUT_OF_ORDER_SHARE
from components.core.intake.drift import Bounds, DriftBounds
from components.gate.documents import Documents, UnusableError
from components.gate.parameters import GateParameters
from components.gate.verdict import NOT_APPLICABLE, Judgement, join, judge_most


def judge_findings(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """Rejected lines and findings are below the bounds at which the step that read the log fails."""
    report, acceptance = documents.report, parameters.acceptance
    num_lines = report.part("num_lines").count(1)
    share = report.part("num_rejected").count() / num_lines
    judgements = [judge_most("findings", "rejected lines", share, acceptance.max_rejected_share, ".2%")]
    counts = {name: report.part("findings", name).count() for name in FINDINGS}
    bounds = dict.fromkeys(acceptance.data_errors, 0)
    if "sessions_in_two_splits" not in acceptance.allowed_findings:
        bounds["sessions_in_two_splits"] = 0
    if "splits_out_of_order" not in acceptance.allowed_findings:
        num_sessions = sum(report.part("splits", split, "num_sessions").count() for split in ("valid", "test"))
        bounds.setdefault("splits_out_of_order", int(OUT_OF_ORDER_SHARE * num_sessions))
    return [*judgements, *(judge_most("findings", name, counts[name], bound, ",") for name, bound in bounds.items())]


def judge_drift(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """The training data differs from that of `previous_events` by no more than the failing bounds of `drift_bounds`.

    Without `previous_events` nothing was measured, and the rule does not apply.
    """
    entries = documents.report.part("drift").entries()
    if not entries and not parameters.acceptance.previous_events:
        measured = "not measured: there is no previous_events"
        return [Judgement(rule="drift", subject="all", bound="drift_bounds", measured=measured, verdict=NOT_APPLICABLE)]
    names = [entry.part("name").text() for entry in entries]
    expected = [each.name for each in fields(DriftBounds)]
    if sorted(names) != sorted(expected):
        raise UnusableError(f"Expected the drift of {join(expected)} in report.json. Received: {join(names) or 'none'}")
    values = {name: entry.part("value").number(0) for name, entry in zip(names, entries, strict=True)}
    bounds: dict[str, Bounds] = vars(parameters.acceptance.drift)
    return [judge_most("drift", name, value, bounds[name].fail, ".3f") for name, value in values.items()]


def judge_lost_events(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """Few of last week's events (valid) are of items that do not occur this week (test)."""
    share = documents.report.part("lost_event_share").number(0, 1)
    return [judge_most("lost_events", "events of items that are gone", share, parameters.gate_max_lost_share, ".2%")]
