"""Every way in which the gate can be handed something, and which rule decides."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
from gate_documents import METRICS, MODEL, TEST, WEEK_MS, around, judge, make_champion, make_documents, make_parameters

from components.core.intake.acceptance import Acceptance
from components.gate.rules import RULES

Documents = dict[str, Any]
Case = tuple[Callable[[Documents], object], dict[str, Any], str]


def find(documents: Any, path: str) -> tuple[Any, Any]:
    """The container of a path and the key in it."""
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    for key in parents:
        documents = documents[key]
    return documents, last


def put(path: str, value: Any) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        part, key = find(documents, path)
        part[key] = value

    return change


def drop(path: str) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        part, key = find(documents, path)
        del part[key]

    return change


def both(*changes: Callable[[Documents], object]) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        for each in changes:
            each(documents)

    return change


def champion(status: str) -> Callable[[Documents], None]:
    return put("metrics/champion", make_champion(status))


def against_baseline(name: str, mean: float, low: float, high: float, *, metric: str) -> Callable[[Documents], None]:
    """Puts the model ahead of a baseline by a mean, and an interval, all relative to the baseline."""

    def change(documents: Documents) -> None:
        base = MODEL[metric] / (1 + mean)
        documents["metrics"]["baselines"][name][metric] = base
        documents["metrics"]["intervals"]["ahead_of"][name][metric] = [low * base, high * base]

    return change


def against_champion(mean: float, low: float, high: float, *, metric: str = "recall@20") -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        base = MODEL[metric] / (1 + mean)
        block = documents["metrics"]["champion"]
        block["champion"][metric], block["ahead"][metric] = base, [low * base, high * base]

    return change


def champion_itself(documents: Documents) -> None:
    block = documents["metrics"]["champion"]
    block["champion"], block["ahead"] = dict(MODEL), {metric: [0.0, 0.0] for metric in MODEL}


def figures_of_another_week(documents: Documents) -> None:
    """The comparison holds the model's metrics on other targets, whose number happens to be the same."""
    block = documents["metrics"]["champion"]
    for metric in METRICS:
        block["model"][metric] -= 0.02
        block["ahead"][metric] = around(block["model"][metric] - block["champion"][metric])


def fewer_champion_targets(number: int) -> Callable[[Documents], None]:
    """The champion saw the first days of the test week."""
    return both(
        put("metrics/champion/num_targets", number),
        put("metrics/champion/trained_until", TEST["first_time"] + WEEK_MS // 2),
    )


def at_every_bound(documents: Documents) -> None:
    metrics, report = documents["metrics"], documents["report"]
    metrics |= {
        "num_targets": 1_000,
        "num_unknown_targets": 200,
        "num_items": 20_000,
        "champion": make_champion("none"),
    }
    metrics["coverage@20"]["model"] = 0.05
    metrics["trained_until"] = TEST["first_time"]
    documents["index_check"] |= {"index_recall": 0.98, "num_queries": 100, "p99_ms": 100.0, "score_difference": 1e-4}
    report |= {"num_rejected": 7_000, "lost_event_share": 0.5}
    for entry, bound in zip(report["drift"], (2.0, 1.0, 0.8, 0.8), strict=True):
        entry["value"] = bound


def nothing(documents: Documents) -> None:
    pass


def empty(documents: Documents) -> None:
    for name in documents:
        documents[name] = {}


def unreadable(name: str) -> Callable[[Documents], None]:
    return put(name, FileNotFoundError(f"no such file: {name}.json"))


later_week = {key: value + WEEK_MS * key.endswith("time") for key, value in TEST.items()}
measures = make_documents()["report"]["drift"]

# What is changed in the documents of a good run, what in the parameters, and what decides.
CASES: dict[str, Case] = {
    # Passes.
    "a little better than the champion": (nothing, {}, "all rules"),
    "the first run": (champion("none"), {}, "all rules"),
    "the first run, with nulls": (both(champion("none"), put("metrics/champion/version", None)), {}, "all rules"),
    "the champion itself": (champion_itself, {}, "all rules"),
    "a little worse than the champion": (against_champion(-0.005, -0.02, 0.01), {}, "all rules"),
    "exactly at both bounds": (against_champion(-0.01, -0.03, 0.01), {}, "all rules"),
    "exactly at every other bound": (at_every_bound, {}, "all rules"),
    "a champion that saw the first moment of the test week": (
        both(
            put("metrics/champion/trained_until", TEST["first_time"]),
            put("metrics/champion/num_targets", 24_222),
        ),
        {},
        "all rules",
    ),
    "a champion that saw all but the last moment of the test week": (
        both(
            put("metrics/champion/trained_until", TEST["last_time"] - 1),
            put("metrics/champion/num_targets", 1_000),
        ),
        {},
        "all rules",
    ),
    "a Markov chain that cannot be beaten": (
        both(*(against_baseline("markov", -0.009, -0.025, 0.005, metric=metric) for metric in METRICS)),
        {},
        "all rules",
    ),
    "a baseline that never hits": (
        both(
            put("metrics/baselines/item_knn/recall@20", 0.0),
            put("metrics/intervals/ahead_of/item_knn/recall@20", around(MODEL["recall@20"])),
        ),
        {},
        "all rules",
    ),
    "a champion that saw some of the test week": (fewer_champion_targets(9_000), {}, "all rules"),
    "baselines alone, since evaluate found too few targets": (
        champion("too_few_targets"),
        {"gate_baselines_alone": True},
        "all rules",
    ),
    "baselines alone, since the gate finds too few targets": (
        both(fewer_champion_targets(999), against_champion(-0.5, -0.6, -0.4)),
        {"gate_baselines_alone": True},
        "all rules",
    ),
    "no earlier events to measure drift against": (put("report/drift", []), {"acceptance": Acceptance()}, "all rules"),
    "drift that only warns": (put("report/drift/0/value", 1.9), {}, "all rules"),
    "a finding that is no error": (put("report/findings/duplicates", 100), {}, "all rules"),
    "a few sessions out of order": (put("report/findings/splits_out_of_order", 117), {}, "all rules"),
    "a finding that is allowed": (
        put("report/findings/sessions_in_two_splits", 5),
        {"acceptance": Acceptance(previous_events="x", allowed_findings=("sessions_in_two_splits",))},
        "all rules",
    ),
    "many sessions out of order, allowed": (
        put("report/findings/splits_out_of_order", 4_000),
        {"acceptance": Acceptance(previous_events="x", allowed_findings=("splits_out_of_order",))},
        "all rules",
    ),
    "few targets of a large catalogue": (
        both(
            put("metrics/num_items", 10_000_000),
            put("metrics/coverage@20/model", 0.004),
        ),
        {},
        "all rules",
    ),
    # Nothing, and garbage.
    "empty documents": (empty, {}, "documents"),
    "no metrics": (unreadable("metrics"), {}, "documents"),
    "no index check": (unreadable("index_check"), {}, "documents"),
    "no data report": (unreadable("report"), {}, "documents"),
    "a list for metrics": (put("metrics", []), {}, "documents"),
    "null for metrics": (put("metrics", None), {}, "documents"),
    "metrics of another schema version": (put("metrics/schema_version", 2), {}, "documents"),
    "an index check of another schema version": (put("index_check/schema_version", 0), {}, "documents"),
    "a data report of an older version": (put("report/schema_version", 0), {}, "documents"),
    "a version that is a boolean": (put("metrics/schema_version", True), {}, "documents"),
    "a metric that is NaN": (put("metrics/model/recall@20", math.nan), {}, "baselines"),
    "a champion's metric that is NaN": (put("metrics/champion/champion/mrr@20", math.nan), {}, "champion_metrics"),
    "an interval that is NaN": (put("metrics/champion/ahead/mrr@20", [math.nan, math.nan]), {}, "champion_metrics"),
    "an infinite metric": (put("metrics/champion/champion/mrr@20", -math.inf), {}, "champion_metrics"),
    "a metric above 1": (put("metrics/baselines/stan/recall@20", 1.2), {}, "baselines"),
    "a metric that is text": (put("metrics/baselines/stan/recall@20", "0.1"), {}, "baselines"),
    "a metric too large for a float": (put("index_check/p99_ms", 10**400), {}, "latency"),
    "an interval upside down": (put("metrics/champion/ahead/mrr@20", [0.006, -0.002]), {}, "champion_metrics"),
    "an interval of three": (put("metrics/champion/ahead/mrr@20", [-0.002, 0.0, 0.006]), {}, "champion_metrics"),
    # Another week.
    "metrics of another week": (put("metrics/test", later_week), {}, "test_split"),
    "an index check of another week": (put("index_check/test", later_week), {}, "test_split"),
    "a data report of another week": (put("report/splits/test", later_week), {}, "test_split"),
    "intervals of another week": (put("metrics/intervals/ahead_of/stan/recall@20", [0.0, 0.01]), {}, "baselines"),
    "a comparison of another week": (put("metrics/champion/num_targets", 24_224), {}, "champion"),
    "a comparison on fewer targets than there are": (put("metrics/champion/num_targets", 24_222), {}, "champion"),
    "a comparison with the figures of another week": (figures_of_another_week, {}, "champion"),
    "a model that saw the test week": (put("metrics/trained_until", TEST["last_time"]), {}, "test_split"),
    "a champion that saw the test week": (
        put("metrics/champion/trained_until", TEST["last_time"]),
        {"gate_baselines_alone": True},
        "champion",
    ),
    # The model alone.
    "too few targets": (
        both(
            put("metrics/num_targets", 999),
            put("metrics/num_unknown_targets", 10),
            put("metrics/coverage@20/model", 0.3),
            champion("none"),
        ),
        {},
        "targets",
    ),
    "too many unknown targets": (put("metrics/num_unknown_targets", 4_845), {}, "unknown_targets"),
    "more unknown targets than targets": (
        put("metrics/num_unknown_targets", 24_224),
        {"gate_max_unknown_share": 1.0},
        "unknown_targets",
    ),
    "the same items for everybody": (put("metrics/coverage@20/model", 20 / 36_751), {}, "coverage"),
    "more coverage than the targets allow": (put("metrics/num_items", 10_000_000), {}, "coverage"),
    # The baselines.
    "not clearly above popularity": (
        against_baseline("popularity", 0.05, -0.001, 0.1, metric="mrr@20"),
        {},
        "popularity",
    ),
    "exactly as good as popularity": (
        against_baseline("popularity", 0.0, 0.0, 0.0, metric="recall@20"),
        {},
        "popularity",
    ),
    "worse than a baseline": (against_baseline("stan", -0.011, -0.02, 0.001, metric="recall@20"), {}, "baselines"),
    "too wide an interval against a baseline": (
        against_baseline("markov", 0.02, -0.031, 0.08, metric="mrr@20"),
        {},
        "baselines",
    ),
    "a baseline without intervals": (drop("metrics/intervals/ahead_of/stan"), {}, "baselines"),
    "a baseline without metrics": (drop("metrics/baselines/stan"), {}, "baselines"),
    "a baseline that was not evaluated": (
        both(drop("metrics/baselines/stan"), drop("metrics/intervals/ahead_of/stan")),
        {},
        "baselines",
    ),
    "a new baseline that is better": (
        both(
            put("metrics/baselines/newcomer", {"recall@20": 0.6, "mrr@20": 0.3}),
            put("metrics/intervals/ahead_of/newcomer", {"recall@20": around(-0.026), "mrr@20": around(0.013)}),
        ),
        {},
        "baselines",
    ),
    # The champion.
    "no word of a champion": (drop("metrics/champion"), {}, "champion"),
    "a store that could not be listed": (champion("unreadable"), {}, "champion"),
    "a store that could not be listed, baselines alone": (
        champion("unreadable"),
        {"gate_baselines_alone": True},
        "champion",
    ),
    "an unknown status": (put("metrics/champion/status", "fine"), {}, "champion"),
    "no champion, and yet a comparison": (put("metrics/champion/status", "none"), {}, "champion"),
    "too few targets, and yet many": (
        both(
            champion("too_few_targets"),
            put("metrics/champion/num_targets", 9_000),
            put("metrics/champion/reason", ""),
        ),
        {},
        "champion",
    ),
    "too few targets, and yet many, baselines alone": (
        both(champion("too_few_targets"), put("metrics/champion/num_targets", 1_000)),
        {"gate_baselines_alone": True},
        "champion",
    ),
    "too few targets of a champion that is older than the test split": (
        both(champion("too_few_targets"), put("metrics/champion/trained_until", TEST["first_time"] - 1)),
        {"gate_baselines_alone": True},
        "champion",
    ),
    "a champion without a number": (put("metrics/champion/version", 0), {}, "champion"),
    "more targets than the model has": (
        both(fewer_champion_targets(24_224), put("metrics/champion/model/recall@20", 0.575)),
        {},
        "champion",
    ),
    "too few targets for the champion, says evaluate": (champion("too_few_targets"), {}, "champion"),
    "too few targets for the champion, says the gate": (fewer_champion_targets(999), {}, "champion"),
    "worse than the champion on few targets": (
        both(fewer_champion_targets(1_000), against_champion(-0.02, -0.029, -0.001)),
        {"gate_baselines_alone": True},
        "champion_metrics",
    ),
    "worse than the champion": (against_champion(-0.011, -0.02, -0.002), {}, "champion_metrics"),
    "much worse than the champion": (against_champion(-0.5, -0.52, -0.48), {}, "champion_metrics"),
    "worse by MRR alone": (against_champion(-0.011, -0.02, -0.002, metric="mrr@20"), {}, "champion_metrics"),
    "too wide an interval against the champion": (against_champion(0.0, -0.031, 0.031), {}, "champion_metrics"),
    # The index.
    "an index that loses items": (put("index_check/index_recall", 0.979), {}, "index_recall"),
    "a slow index": (put("index_check/p99_ms", 100.1), {}, "latency"),
    "a negative time": (put("index_check/p99_ms", -1.0), {}, "latency"),
    "few timed queries": (put("index_check/num_queries", 99), {}, "latency"),
    "other scores than were evaluated": (put("index_check/score_difference", 1.1e-4), {}, "score_difference"),
    # The data.
    "many rejected lines": (put("report/num_rejected", 7_001), {}, "findings"),
    "sessions in two splits": (put("report/findings/sessions_in_two_splits", 1), {}, "findings"),
    "many sessions out of order": (put("report/findings/splits_out_of_order", 118), {}, "findings"),
    "a finding that is an error": (
        put("report/findings/ties", 1),
        {"acceptance": Acceptance(previous_events="x", data_errors=("ties",))},
        "findings",
    ),
    "drift above its bound": (put("report/drift/2/value", 0.81), {}, "drift"),
    "drift above a bound of the run": (
        put("report/drift/2/value", 0.51),
        {"acceptance": Acceptance(previous_events="x", drift_bounds=("lost_items=0.1:0.5",))},
        "drift",
    ),
    "drift above its bound, of a run that asks for none": (
        put("report/drift/2/value", 0.81),
        {"acceptance": Acceptance()},
        "drift",
    ),
    "no drift where it was asked for": (put("report/drift", []), {}, "drift"),
    "a measure of drift is missing": (put("report/drift", measures[:3]), {}, "drift"),
    "a measure of drift is there twice": (put("report/drift", [*measures, measures[0]]), {}, "drift"),
    "a negative drift": (put("report/drift/0/value", -5.0), {}, "drift"),
    "many items are gone": (put("report/lost_event_share", 0.535), {}, "lost_events"),
    "a data report without the lost events": (put("report/lost_event_share", None), {}, "lost_events"),
}  # fmt: skip


def judge_case(name: str, rules: Any = RULES) -> Any:
    change, settings, _ = CASES[name]
    documents = copy.deepcopy(make_documents())
    change(documents)
    return judge(documents, make_parameters(**settings), rules)


@pytest.mark.parametrize("name", CASES)
def test_what_decides(name: str) -> None:
    verdict = judge_case(name)
    assert verdict.decided_by == CASES[name][2], verdict.reason
    assert verdict.passed == verdict.rules_passed == (CASES[name][2] == "all rules")


@pytest.mark.parametrize("removed", RULES)
def test_without_a_rule_something_passes_that_should_not(removed: str) -> None:
    rules = {name: rule for name, rule in RULES.items() if name != removed}
    refused = [name for name, (_, _, decided_by) in CASES.items() if decided_by == removed]
    assert any(judge_case(name, rules).passed for name in refused)


def test_every_rule_judges_a_good_run() -> None:
    verdict = judge(make_documents())
    assert {each.rule for each in verdict.judgements} == RULES.keys()
    assert {each.verdict for each in verdict.judgements} == {"passes"}
    compared = {each.subject for each in verdict.judgements if each.rule == "baselines"}
    assert compared == {f"{name}, {metric}" for name in make_documents()["metrics"]["baselines"] for metric in METRICS}


def test_a_rule_that_raises_or_says_nothing_refuses() -> None:
    def crash(documents: Any, parameters: Any) -> Any:
        raise ZeroDivisionError("by nothing")

    verdict = judge(make_documents(), rules={**RULES, "crash": crash})
    assert not verdict.passed
    assert "ZeroDivisionError: by nothing" in verdict.reason
    silent = judge(make_documents(), rules={**RULES, "silent": lambda documents, parameters: []})
    assert (silent.passed, silent.decided_by) == (False, "silent")
    assert not judge(make_documents(), rules={}).passed
