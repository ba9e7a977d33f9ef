import json
import math
import re

import pytest
from gate_documents import judge, make_documents, make_parameters

from components.gate.parameters import GateParameters
from components.gate.rules import RULES

REASON = "Ada: the old model recommends what is sold out"


def make_refused():
    documents = make_documents()
    documents["index_check"]["index_recall"] = 0.9
    documents["report"]["lost_event_share"] = 0.9
    return documents


def test_json_of_a_refusal():
    document = json.loads(judge(make_refused()).to_json())
    assert document["schema_version"] == 1
    assert (document["passed"], document["rules_passed"], document["override"]) == (False, False, "")
    assert document["decided_by"] == "lost_events"
    assert document["reason"] == (
        "Refused by the rule lost_events, events of items that are gone: 90.00%; asked for: at most 50.00%."
    )
    refused = [each for each in document["judgements"] if each["verdict"] == "refuses"]
    assert [each["rule"] for each in refused] == ["lost_events", "index_recall"]
    assert refused[1] == {
        "rule": "index_recall",
        "subject": "recall of the index",
        "bound": "at least 0.9800",
        "measured": "0.9000",
        "verdict": "refuses",
    }
    assert document["parameters"]["gate_min_index_recall"] == 0.98
    assert document["parameters"]["acceptance"]["max_rejected_share"] == 0.01


def test_an_override_passes_and_what_would_have_been_decided_is_kept():
    verdict = judge(make_refused(), make_parameters(gate_override=f"  {REASON} "))
    document = json.loads(verdict.to_json())
    assert (document["passed"], document["rules_passed"]) == (True, False)
    assert (document["decided_by"], document["override"]) == ("gate_override", REASON)
    assert document["reason"].startswith(f"Published all the same, by override: {REASON}. Without it: Refused by the")
    markdown = verdict.to_markdown()
    assert "# Gate: passed" in markdown
    assert "**Decided by:** gate_override" in markdown
    assert REASON in markdown
    assert "Refused by the rule lost_events" in markdown


def test_an_override_passes_a_model_of_which_nothing_is_known():
    nothing = dict.fromkeys(("metrics", "index_check", "report"), None)
    assert judge(nothing, make_parameters(gate_override=REASON)).passed
    assert not judge(nothing).passed


def test_an_override_of_a_model_that_passes_says_so():
    document = json.loads(judge(make_documents(), make_parameters(gate_override=REASON)).to_json())
    assert (document["passed"], document["rules_passed"]) == (True, True)
    assert document["reason"].endswith("Without it: Every rule lets the model pass.")


def rows_of(markdown):
    return [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in markdown.splitlines() if line.startswith("| ")][2:]


def test_markdown_lists_every_judgement_and_marks_the_one_that_decided():
    verdict = judge(make_refused())
    markdown = verdict.to_markdown()
    assert markdown.startswith("# Gate: refused\n\n**Decided by:** lost_events\n")
    rows = rows_of(markdown)
    assert {row[0] for row in rows} == RULES.keys()
    assert len(rows) == len(verdict.judgements)
    assert all(len(row) == 5 and all(row) for row in rows)
    assert [row[0] for row in rows if row[4] == "**refuses, first of all**"] == ["lost_events"]
    assert [row[0] for row in rows if row[4] == "refuses"] == ["index_recall"]
    assert "first of all" not in judge(make_documents()).to_markdown()


def test_text_from_documents_stays_text():
    documents = make_documents(champion="unreadable")
    documents["metrics"]["champion"]["reason"] = "<img src=x>|a\nb\ud800"
    verdict = judge(documents)
    markdown = verdict.to_markdown()
    assert r"&lt;img src=x&gt;\|a b" in markdown
    assert "<img" not in markdown
    assert len(rows_of(markdown)) == len(verdict.judgements)
    markdown.encode()
    verdict.to_json().encode()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"gate_min_targets": 0}, "Expected gate_min_targets to be at least 1. Received: 0"),
        ({"gate_max_unknown_share": 1.1}, "Expected gate_max_unknown_share to be from 0 to 1. Received: 1.1"),
        ({"gate_min_coverage": -0.1}, "Expected gate_min_coverage to be from 0 to 1. Received: -0.1"),
        ({"gate_max_mean_loss": math.nan}, "Expected gate_max_mean_loss to be from 0 to 1. Received: nan"),
        ({"gate_max_interval_loss": math.inf}, "Expected gate_max_interval_loss to be from 0 to 1. Received: inf"),
        ({"gate_min_index_recall": math.nan}, "Expected gate_min_index_recall to be from 0 to 1. Received: nan"),
        (
            {"gate_max_score_difference": math.nan},
            "Expected gate_max_score_difference to be from 0 to 1. Received: nan",
        ),
        ({"gate_max_lost_share": 2}, "Expected gate_max_lost_share to be from 0 to 1. Received: 2"),
        ({"gate_max_p99_ms": math.inf}, "Expected gate_max_p99_ms to be finite and above 0. Received: inf"),
        ({"gate_max_p99_ms": 0.0}, "Expected gate_max_p99_ms to be finite and above 0. Received: 0.0"),
        ({"gate_override": " \n"}, "Expected gate_override to be a reason, or empty for no override. Received: ' "),
    ],
)
def test_parameters_are_checked(setting, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GateParameters(**setting)
