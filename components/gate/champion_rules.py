"""Rules about the published model, the champion: whether it can be compared, and how the new model compares."""

from components.gate.comparison import METRICS, judge_comparison
from components.gate.documents import Document, Documents, UnusableError
from components.gate.parameters import GateParameters
from components.gate.verdict import NOT_APPLICABLE, PASSES, REFUSES, Judgement

COMPARISON_KEYS = ("version", "trained_until", "num_targets", "model", "champion", "ahead")
SAME_METRIC = 1e-6  # metrics of one model on the same targets differ by rounding only


def judge_champion(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """There is a fair comparison with the champion, or a reason why none is needed.

    It is fair on the sessions that begin after the newest event that the champion was trained on. None is needed if
    nothing has been published yet or, with `gate_baselines_alone`, if too few targets are left.
    """
    champion = documents.metrics.part("champion")
    status = champion.part("status").text()
    if status == "compared":
        _check_targets(documents.metrics, champion)
        _check_comparison(documents.metrics, champion)
        return [_judge_targets(champion, parameters)]
    reason = champion.part("reason").text()
    if status == "too_few_targets":
        _check_targets(documents.metrics, champion)
        if champion.part("num_targets").count() >= parameters.gate_min_targets:
            raise UnusableError(f"Expected a comparison where enough targets are left. Received none: {reason}")
        return [_judge_targets(champion, parameters)]
    if status == "none":
        found = [key for key in COMPARISON_KEYS if champion.has(key)]
        if found:
            raise UnusableError(f"Expected no {found[0]} of a champion with the status none. Received: one")
        return [_judge_status("nothing has been published yet", NOT_APPLICABLE)]
    if status == "unreadable":
        return [_judge_status(f"the serving location or its model could not be read: {reason}", REFUSES)]
    raise UnusableError(
        f"Expected compared, none, unreadable or too_few_targets in {champion.name}: status. Received: {status!r}"
    )


def judge_champion_metrics(documents: Documents, parameters: GateParameters) -> list[Judgement]:
    """The model is not worse than the champion, on targets that neither was trained on."""
    champion = documents.metrics.part("champion")
    if not _is_comparison(champion, parameters):
        return [
            Judgement(
                rule="champion_metrics",
                subject="all",
                bound="not worse than the champion",
                measured="no comparison; see the rule champion",
                verdict=NOT_APPLICABLE,
            )
        ]
    return [
        judge_comparison(
            "champion_metrics",
            f"champion, {metric}",
            model=champion.part("model", metric),
            other=champion.part("champion", metric),
            interval=champion.part("ahead", metric),
            parameters=parameters,
        )
        for metric in METRICS
    ]


def _is_comparison(champion: Document, parameters: GateParameters) -> bool:
    if champion.part("status").text() != "compared":
        return False
    enough = champion.part("num_targets").count() >= parameters.gate_min_targets
    return enough or not parameters.gate_baselines_alone


def _check_targets(metrics: Document, champion: Document) -> None:
    """Checks that the targets of the comparison are among those of the model: all, if the champion is older.

    Raises:
        UnusableError: they are not.
    """
    num_targets, num_of_all = champion.part("num_targets").count(), metrics.part("num_targets").count()
    is_older = champion.part("trained_until").count() < metrics.part("test", "first_time").count()
    if num_targets > num_of_all or (is_older and num_targets != num_of_all):
        raise UnusableError(
            f"Expected {'' if is_older else 'at most '}{num_of_all} targets, those of the model, for the champion too. "
            f"Received: {num_targets}"
        )


def _check_comparison(metrics: Document, champion: Document) -> None:
    """Checks that the champion was not trained on all of the test split, and that the model's metrics are its own.

    Raises:
        UnusableError: it was, or they are not.
    """
    trained_until, last_time = champion.part("trained_until").count(), metrics.part("test", "last_time").count()
    if trained_until >= last_time:
        raise UnusableError(
            f"Expected a champion that was not trained on the whole test split, which ends at {last_time} ms. "
            f"Received: its newest training event is at {trained_until} ms"
        )
    if champion.part("num_targets").count() == metrics.part("num_targets").count():
        for metric in METRICS:
            ours, again = (part.part("model", metric).number(0, 1) for part in (metrics, champion))
            if abs(ours - again) > SAME_METRIC:
                raise UnusableError(
                    f"Expected the model's {metric} of {ours:.6f} in the comparison with the champion, which is on all "
                    f"targets. Received: {again:.6f}"
                )


def _judge_targets(champion: Document, parameters: GateParameters) -> Judgement:
    version, num_targets = champion.part("version").count(1), champion.part("num_targets").count()
    trained_until = champion.part("trained_until").count()
    measured = f"{num_targets:,} targets; version {version} is trained until {trained_until} ms"
    if num_targets >= parameters.gate_min_targets:
        verdict = PASSES
    elif parameters.gate_baselines_alone:
        verdict, measured = NOT_APPLICABLE, f"{measured}; gate_baselines_alone is set"
    else:
        verdict = REFUSES
    bound = f"at least {parameters.gate_min_targets:,} targets in sessions that begin after its training data"
    return Judgement(rule="champion", subject="fair comparison", bound=bound, measured=measured, verdict=verdict)


def _judge_status(measured: str, verdict: str) -> Judgement:
    bound = "a model that can be read, or none"
    return Judgement(rule="champion", subject="published model", bound=bound, measured=measured, verdict=verdict)
