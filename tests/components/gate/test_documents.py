"""No value that is missing or not what it has to be lets a model pass, wherever it stands."""

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from gate_documents import judge, make_documents, make_parameters
from hypothesis import given, settings
from hypothesis import strategies as st

from components.gate.documents import Document

# What no rule reads; a key here stands for everything below it.
UNREAD = [
    "metrics/num_targets_in_split",
    "metrics/num_sessions",
    "metrics/min_prefix",
    "metrics/model/recall@1",
    "metrics/model/ndcg@20",
    "metrics/known_targets",
    "metrics/intervals/model",
    "metrics/by_prefix_length",
    "metrics/by_target_popularity",
    *(
        f"metrics/coverage@20/{name}"
        for name in ("popularity", "session_popularity", "markov", "sequential_rules", "item_knn", "v_sknn", "stan")
    ),
    "metrics/popularity_percentile@20",
    "metrics/parameters",
    "metrics/training",
    "metrics/champion/model/recall@1",
    "metrics/champion/model/ndcg@20",
    "metrics/champion/champion/recall@1",
    "metrics/champion/ahead/recall@1",
    "report/num_accepted",
    "report/rejected_by_reason",
    "report/splits/train",
    "report/splits/valid/num_events",
    "report/splits/test/num_items",
    *(f"report/drift/{position}/{key}" for position in range(4) for key in ("warn", "fail", "verdict")),
    "report/funnel",
    "report/time_formats",
]
WRONG = {
    "nothing": None,
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "text": "0.5",
    "true": True,
    "false": False,
    "a list": [],
    "an object": {},
}
# A reason may be any text.
ANY_TEXT = "metrics/champion/reason"
STATES = {
    "compared": {},
    "none": {},
    "too_few_targets": {"gate_baselines_alone": True},
}


def list_paths(part: Any, path: str = "") -> Iterator[str]:
    """Every path, except below what no rule reads."""
    entries = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in entries:
        inner = f"{path}/{key}" if path else str(key)
        yield inner
        if inner not in UNREAD:
            yield from list_paths(value, inner)


def find(documents: Any, path: str) -> tuple[Any, Any]:
    """The container of a path and the key in it."""
    *parents, last = path.split("/")
    for key in parents:
        documents = documents[int(key) if isinstance(documents, list) else key]
    return documents, int(last) if isinstance(documents, list) else last


def list_changes(documents: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Deletes each value, and replaces it by each wrong one, one at a time; gives the path and the change."""
    for path in list(list_paths(documents)):
        part, key = find(documents, path)
        before = copy.copy(part)
        if "/" in path:
            del part[key]
            yield path, "deleted"
        for name, value in WRONG.items():
            restore(part, before)
            if (path, name) != (ANY_TEXT, "text"):
                part[key] = value
                yield path, name
        restore(part, before)


def restore(part: Any, before: Any) -> None:
    part.clear()
    if isinstance(part, list):
        part.extend(before)
    else:
        part.update(before)


@pytest.mark.parametrize("status", STATES)
def test_a_value_that_a_rule_reads_lets_nothing_pass_if_it_is_missing_or_wrong(status: str) -> None:
    documents, parameters = make_documents(champion=status), make_parameters(**STATES[status])
    good = judge(documents, parameters)
    assert good.passed
    seen = set()
    for path, change in list_changes(documents):
        seen.add(path)
        verdict = judge(documents, parameters)
        if path in UNREAD:
            assert verdict.judgements == good.judgements, (path, change)
        else:
            assert not verdict.passed, (path, change)
    assert judge(documents, parameters).judgements == good.judgements
    if status == "compared":
        assert set(UNREAD) <= seen


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(["metrics", "index_check", "report"]), content=json_values)
def test_no_other_document_passes_and_none_crashes(name: str, content: Any) -> None:
    verdict = judge({**make_documents(), name: content})
    assert not verdict.passed
    json.loads(verdict.to_json(), parse_constant=pytest.fail)
    assert verdict.to_markdown()


PATHS = [path for path in list_paths(make_documents()) if path not in UNREAD]


@settings(max_examples=100, deadline=None)
@given(path=st.sampled_from(PATHS), value=json_values)
def test_any_value_anywhere_gives_a_verdict(path: str, value: Any) -> None:
    documents = make_documents()
    part, key = find(documents, path)
    part[key] = value
    verdict = judge(documents)
    json.loads(verdict.to_json(), parse_constant=pytest.fail)
    assert verdict.passed == (verdict.decided_by == "all rules")
    assert verdict.to_markdown().count("first of all") == (not verdict.passed)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"1" * 10_000, b'{"schema_version": }', b"\x00"],
    ids=["empty", "cut", "no text", "deep", "a long number", "no JSON", "NUL"],
)
def test_a_file_that_is_no_json_has_an_error(tmp_path: Any, content: bytes) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(content)
    assert Document.read(path, "metrics.json").error
    assert not judge({**make_documents(), "metrics": ValueError(Document.read(path, "metrics.json").error)}).passed


def test_a_file_that_cannot_be_read_has_an_error(tmp_path: Any) -> None:
    assert Document.read(tmp_path / "nothing.json", "metrics.json").error.startswith("FileNotFoundError")
    assert Document.read(tmp_path, "metrics.json").error.startswith("IsADirectoryError")
