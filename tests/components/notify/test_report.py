import json
from typing import Any

import pytest

from components.core.records import Record
from components.notify.report import make_report, make_text
from components.notify.step import NotifyParameters, notify
from components.notify.webhook import FORMATS, make_body

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


def report(records, problems=(), *, state="SUCCEEDED", error_message=""):
    return make_report(records, problems, pipeline="two-tower", run="run-1", state=state, error_message=error_message)


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


@pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE"])
def test_a_success_whose_records_are_not_all_there(state):
    assert report(make_records(gate=PASSED), state=state)["status"] == "succeeded"


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


@pytest.mark.parametrize(
    ("state", "status", "outcome"),
    [
        ("SUCCEEDED", "succeeded", "succeeded"),
        ("COMPLETE", "succeeded", "succeeded"),  # what Kubeflow Pipelines 2.17.0 says
        ("CACHED", "succeeded", "succeeded"),
        ("FAILED", "failed", "failed"),
        ("CANCELLED", "failed", "failed"),
        ("CANCELED", "failed", "failed"),
        # Kubeflow may say so while the exit task runs.
        ("RUNNING", "unknown", "the run ended, it is not known how"),
        ("", "unknown", "the run ended, it is not known how"),
    ],
)
@pytest.mark.parametrize("records", [{}, make_records(sessionize={"num_lines": 9}), make_records(gate=PASSED)])
def test_where_records_are_missing_the_state_is_all_there_is(records, state, status, outcome):
    document = report(records, ["s3://logs/records/run-1/publish.json is not the record of a task."], state=state)
    assert document["status"] == status
    assert document["notes"] == ["s3://logs/records/run-1/publish.json is not the record of a task."]
    text = make_text(document)
    assert text.startswith(f"two-tower: {outcome}\nRun: run-1\n")
    assert text.endswith("\ns3://logs/records/run-1/publish.json is not the record of a task.")


def test_a_record_that_cannot_be_read_hides_no_other():
    records = make_records(evaluate=EVALUATED, gate=PASSED, publish={"version": 4, "serving_uri": "s3://m"})
    document = report(records, ["One is broken."], state="RUNNING")
    assert (document["status"], document["version"]) == ("published", 4)
    assert report(make_records(gate=REFUSED), ["One is broken."], state="RUNNING")["status"] == "refused"
    failed = report(make_records(train={"type": "ValueError", "message": "x"}), ["One is broken."], state="RUNNING")
    assert (failed["status"], failed["failed_task"]) == ("failed", "train")


def test_what_a_record_lacks_is_said():
    evaluated = {"model": {"recall@20": None, "mrr@20": 0.26}, "champion": {"status": "compared"}}
    document = report(make_records(evaluate=evaluated, gate={"rules_passed": True}, publish={"version": 4}))
    assert document["status"] == "published"
    assert make_text(document) == (
        "two-tower: published version 4 in (not recorded)\n"
        "Run: run-1\n"
        "Gate: (not recorded)\n"
        "Model: mrr@20 0.2600\n"
        "On the same targets: champion (version (not recorded)) (not recorded); model (not recorded)\n"
        "The record of evaluate lacks recall@20.\n"
        "The record of gate lacks passed, reason.\n"
        "The record of publish lacks serving_uri."
    )


def test_an_error_without_a_message():
    records = make_records(train={"type": "KeyboardInterrupt", "message": ""}, gate={"type": ""})
    assert "The task train failed. KeyboardInterrupt\n" in make_text(report(records)) + "\n"
    del records["train"]
    assert "The task gate failed. Its record does not say why." in make_text(report(records))


def paths(document, before=()):
    """The path of each value in a document, the document itself included."""
    yield before
    if isinstance(document, dict):
        for key, value in document.items():
            yield from paths(value, (*before, key))


def changed(document, path, value):
    """The document with another value at a path; without it, for DROPPED."""
    if not path:
        return value
    rest = dict(document)
    if path[1:] or value is not DROPPED:
        rest[path[0]] = changed(document[path[0]], path[1:], value)
    else:
        del rest[path[0]]
    return rest


DROPPED = object()
ODD = [DROPPED, None, True, "", "x", "\ud800", 0, -3, 10**400, 0.5, -1e300, [], [1], {}, {"a": {}}]


@pytest.mark.slow
def test_whatever_records_hold_a_notice_goes_out(tmp_path):
    """Each value of the records, replaced by each odd one, as files on disk."""
    results = {
        "sessionize": {"num_lines": 9}, "evaluate": EVALUATED, "gate": PASSED,
        "publish": {"version": 4, "serving_uri": "s3://m"},
    }  # fmt: skip
    good = {
        task: vars(record) for task, record in make_records(**results, verify={"type": "A", "message": "B"}).items()
    }
    good["sessionize"]["findings"] = {"ties": 2}
    parameters = NotifyParameters(
        pipeline_name="two-tower", run_id="run-1", state="RUNNING", records_uri=str(tmp_path / "records")
    )
    folder = tmp_path / "records" / "run-1"
    folder.mkdir(parents=True)
    num_tried = 0
    for task, document in good.items():
        for other, each in good.items():
            (folder / f"{other}.json").write_text(json.dumps(each))
        for path in paths(document):
            for value in ODD[1:] if not path else ODD:
                (folder / f"{task}.json").write_text(json.dumps(changed(document, path, value)))
                made = notify(tmp_path / "notification.json", parameters)
                assert json.loads((tmp_path / "notification.json").read_text(encoding="utf-8")) == made
                # The other records are read all the same.
                assert made["status"] in ({"published"} if task != "publish" else {"published", "failed"})
                for form in FORMATS:
                    assert json.dumps(make_body(made, "https://shop", form), allow_nan=False)
                num_tried += 1
    assert num_tried > 700


def test_a_champion_that_was_not_compared():
    for status, reason in (("none", "s3://m holds no version"), ("unreadable", "Refused")):
        champion = {"status": status, "reason": reason}
        document = report(make_records(evaluate=EVALUATED | {"champion": champion}, gate=REFUSED))
        assert f"Champion: {status}. {reason}" in make_text(document)


def test_a_long_message_is_cut_in_the_text_alone():
    document = report(make_records(train={"type": "ValueError", "message": "x" * 5_000}), state="FAILED")
    assert len(document["error"]["message"]) == 5_000
    assert len(make_text(document)) < 1_200
