from typing import Any

import pytest

from components.core.records import Record
from components.notify.report import make_report, make_text

COMPARED = {
    "status": "compared",
    "version": 3,
    "model": {"recall@20": 0.5, "mrr@20": 0.25},
    "champion": {"recall@20": 0.4, "mrr@20": 0.2},
}
EVALUATED = {"model": {"recall@20": 0.51, "mrr@20": 0.26, "ndcg@20": 0.3}, "champion": COMPARED}
PASSED = {"passed": True, "rules_passed": True, "decided_by": "all rules", "reason": "Every rule lets the model pass."}
REFUSED = {**PASSED, "passed": False, "rules_passed": False, "decided_by": "champion", "reason": "Refused by the rule."}


def make_records(**tasks: dict[str, Any]) -> dict[str, Record]:
    """Records by task: of success with a result or, if there is a `type`, of that error."""
    times = {"started": "2025-09-18T03:00:00.000+00:00", "ended": "2025-09-18T03:01:30.000+00:00"}
    return {
        name: Record(task=name, **times, status="failed", error=given)
        if "type" in given
        else Record(task=name, **times, status="succeeded", result=given)
        for name, given in tasks.items()
    }


def report(records, state="SUCCEEDED", error_message=""):
    return make_report(records, pipeline="two-tower", run="run-1", state=state, error_message=error_message)


def test_a_published_version_beside_the_champion():
    records = make_records(
        sessionize={"num_lines": 9}, evaluate=EVALUATED, gate=PASSED, publish={"version": 4, "serving_uri": "s3://m"}
    )
    records["sessionize"].findings = {"ties": 2}
    document = report(records, state="RUNNING")
    assert document | {"tasks": None} == {
        "schema_version": 1,
        "pipeline": "two-tower",
        "run": "run-1",
        "status": "published",
        "state": "RUNNING",
        "failed_task": None,
        "error": None,
        "metrics": {"recall@20": 0.51, "mrr@20": 0.26},
        "champion": COMPARED | {"reason": None},
        "gate": PASSED,
        "version": 4,
        "serving_uri": "s3://m",
        "findings": {"ties": 2},
        "tasks": None,
        "notes": [],
    }
    assert document["tasks"]["publish"] == {"status": "succeeded", "seconds": 90.0}
    assert make_text(document) == (
        "two-tower: published version 4 in s3://m\n"
        "Run: run-1\n"
        "Gate: Every rule lets the model pass.\n"
        "Model: recall@20 0.5100, mrr@20 0.2600\n"
        "On the same targets: champion (version 3) recall@20 0.4000, mrr@20 0.2000; "
        "model recall@20 0.5000, mrr@20 0.2500"
    )


def test_a_failed_task_with_its_message():
    records = make_records(sessionize={"num_lines": 9}, train={"type": "ValueError", "message": "Expected x"})
    document = report(records, state="FAILED", error_message="The DAG failed.")
    assert (document["status"], document["failed_task"]) == ("failed", "train")
    assert document["error"] == {"type": "ValueError", "message": "Expected x"}
    assert "The task train failed. ValueError: Expected x" in make_text(document)
    assert document["notes"] == []


@pytest.mark.parametrize(
    ("gate", "state"),
    [(REFUSED, "SUCCEEDED"), ({"type": "RefusedError", "message": "The gate refused the model."}, "FAILED")],
)
def test_a_refusal_is_told_from_a_failure(gate, state):
    document = report(make_records(evaluate=EVALUATED, gate=gate), state=state)
    assert (document["status"], document["version"]) == ("refused", None)
    assert make_text(document).startswith("two-tower: the gate refused the model, nothing was published\n")


@pytest.mark.parametrize("after", [{}, {"sessionize": {}}, {"gate": PASSED}])
@pytest.mark.parametrize("state", ["FAILED", "RUNNING"])
def test_a_killed_task_leaves_no_record_and_that_is_said(after, state):
    document = report(make_records(**after), state=state, error_message="Pod was evicted")
    assert (document["status"], document["failed_task"], document["error"]) == ("failed", None, None)
    assert document["notes"] == [
        f"Of the tasks, {', '.join(after) or 'none'} ended with a record. Another one was killed, could not start, or "
        "could not write its record; see its log.",
        "Pod was evicted",
    ]


@pytest.mark.parametrize(("state", "status"), [("SUCCEEDED", "succeeded"), ("FAILED", "failed")])
def test_without_records_the_state_is_all_there_is(state, status):
    document = report("The tasks wrote no records.", state=state)
    assert (document["status"], document["notes"]) == (status, ["The tasks wrote no records."])


def test_a_champion_that_was_not_compared():
    for status, reason in (("none", "s3://m holds no version"), ("unreadable", "Refused")):
        champion = {"status": status, "reason": reason}
        document = report(make_records(evaluate=EVALUATED | {"champion": champion}, gate=REFUSED))
        assert f"Champion: {status}. {reason}" in make_text(document)


def test_a_long_message_is_cut_in_the_text_alone():
    document = report(make_records(train={"type": "ValueError", "message": "x" * 5_000}), state="FAILED")
    assert len(document["error"]["message"]) == 5_000
    assert len(make_text(document)) < 1_200
