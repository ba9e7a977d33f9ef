"""The rules of the gate.

Each rule reads the documents and returns judgements. It raises if a value is unusable, and `verdict.decide` turns that
into a refusal. The first rule that refuses is named as the one that decided, so causes stand before consequences.
"""

from components.core import schema_versions
from components.gate.champion_rules import judge_champion, judge_champion_metrics
from components.gate.comparison import METRICS, ROUNDING, judge_comparison
from components.gate.data_rules import judge_drift, judge_findings, judge_lost_events
from components.gate.documents import Document, Documents, UnusableError
from components.gate.parameters import GateParameters
from components.gate.verdict import PASSES, REFUSES, Judgement, Rule, join, judge_least, judge_most

COVERAGE_K = 20  # number of items that `evaluate` takes from each ranking to measure the coverage
MIN_QUERIES = 100  # the 99th percentile of fewer times is their maximum


def judge_documents(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """Each document can be read and is of the schema version that the rules were written for."""

    def judge(document: Document, version: int) -> Judgement:
        found = document.part("schema_version").count()
        return Judgement(
            rule="documents",
            subject=document.name,
            bound=f"schema version {version}",
            measured=f"schema version {found}",
            verdict=PASSES if found == version else REFUSES,
        )

    return [
        judge(documents.report, schema_versions.DATA_REPORT),
        judge(documents.metrics, schema_versions.METRICS),
        judge(documents.index_check, schema_versions.INDEX_CHECK),
    ]


def judge_test_split(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """All documents are about one test split, and the model was trained on nothing after its first event."""

    def describe(part: Document) -> dict[str, int]:
        return {key: part.part(key).count() for key in ("num_events", "num_sessions", "first_time", "last_time")}

    expected = describe(documents.report.part("splits", "test"))
    judgements = []
    for document in (documents.metrics, documents.index_check):
        found = describe(document.part("test"))
        judgements.append(
            Judgement(
                rule="test_split",
                subject=document.name,
                bound=f"the test split of report.json: {_show(expected)}",
                measured="the same" if found == expected else _show(found),
                verdict=PASSES if found == expected else REFUSES,
            )
        )
    trained_until = documents.metrics.part("trained_until").count()
    return [
        *judgements,
        Judgement(
            rule="test_split",
            subject="training data",
            bound=f"no event after {expected['first_time']} ms, when the test split begins",
            measured=f"newest event at {trained_until} ms",
            verdict=PASSES if trained_until <= expected["first_time"] else REFUSES,
        ),
    ]


def judge_targets(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """There are enough targets for the bootstrap intervals to mean something."""
    num_targets = documents.metrics.part("num_targets").count()
    return [judge_least("targets", "targets", num_targets, parameters.gate_min_targets, ",")]


def judge_unknown_targets(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """Few targets are items that the model can not recommend."""
    num_targets = documents.metrics.part("num_targets").count(1)
    share = documents.metrics.part("num_unknown_targets").count() / num_targets
    subject = "targets that are not in the vocabulary"
    return [judge_most("unknown_targets", subject, share, parameters.gate_max_unknown_share, ".2%")]


def judge_coverage(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """The model recommends many different items.

    The share is relative to the number of items that `num_targets` lists of COVERAGE_K items can hold at most, so that
    one bound serves catalogues of every size.
    """
    metrics = documents.metrics
    num_items = metrics.part("num_items").count(1)
    reachable = min(1.0, COVERAGE_K * metrics.part("num_targets").count(1) / num_items)
    share = metrics.part(f"coverage@{COVERAGE_K}", "model").number(0, reachable + ROUNDING)
    subject = "items recommended, of those that could be"
    return [judge_least("coverage", subject, share / reachable, parameters.gate_min_coverage, ".2%")]


def judge_popularity(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """The model is clearly above popularity: the whole interval of the difference is above 0."""
    judgements = []
    for metric in METRICS:
        low, high = documents.metrics.part("intervals", "ahead_of", "popularity", metric).interval()
        judgements.append(
            Judgement(
                rule="popularity",
                subject=metric,
                bound="interval of the difference above 0",
                measured=f"{low:+.4f} to {high:+.4f}",
                verdict=PASSES if low > 0 else REFUSES,
            )
        )
    return judgements


def judge_baselines(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """The model is not worse than any baseline: those of `gate_baselines`, and all others that were evaluated."""
    metrics = documents.metrics
    names = metrics.part("baselines").keys()
    compared = metrics.part("intervals", "ahead_of").keys()
    missing = sorted({*parameters.gate_baselines, *names, *compared} - ({*names} & {*compared}))
    if missing:
        raise UnusableError(f"Expected metrics and intervals of each baseline. Received none of: {join(missing)}")
    return [
        judge_comparison(
            "baselines",
            f"{name}, {metric}",
            model=metrics.part("model", metric),
            other=metrics.part("baselines", name, metric),
            interval=metrics.part("intervals", "ahead_of", name, metric),
            parameters=parameters,
        )
        for name in names
        for metric in METRICS
    ]


def judge_index_recall(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """The index returns the items with the best exact scores."""
    recall = documents.index_check.part("index_recall").number(0, 1)
    return [judge_least("index_recall", "recall of the index", recall, parameters.gate_min_index_recall, ".4f")]


def judge_latency(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """The index answers a single query in time."""
    num_queries = documents.index_check.part("num_queries").count()
    p99_ms = documents.index_check.part("p99_ms").number(0)
    return [
        judge_least("latency", "timed queries", num_queries, MIN_QUERIES, ","),
        judge_most("latency", "99th percentile in ms", p99_ms, parameters.gate_max_p99_ms, ".2f"),
    ]


def judge_score_difference(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """The exported model gives the scores that were evaluated."""
    difference = documents.index_check.part("score_difference").number(0)
    subject = "relative difference from evaluated scores"
    return [judge_most("score_difference", subject, difference, parameters.gate_max_score_difference, ".1e")]


def _show(split: dict[str, int]) -> str:
    return join(f"{name} {value}" for name, value in split.items())


RULES: dict[str, Rule] = {
    "documents": judge_documents,
    "findings": judge_findings,
    "drift": judge_drift,
    "lost_events": judge_lost_events,
    "test_split": judge_test_split,
    "targets": judge_targets,
    "unknown_targets": judge_unknown_targets,
    "coverage": judge_coverage,
    "popularity": judge_popularity,
    "baselines": judge_baselines,
    "champion": judge_champion,
    "champion_metrics": judge_champion_metrics,
    "index_recall": judge_index_recall,
    "latency": judge_latency,
    "score_difference": judge_score_difference,
}
