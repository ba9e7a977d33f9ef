"""The comparison of the model with a baseline or with the champion."""

from components.gate.documents import Document, UnusableError
from components.gate.parameters import GateParameters
from components.gate.verdict import PASSES, REFUSES, Judgement

METRICS = ("recall@20", "mrr@20")
ROUNDING = 1e-9  # a loss of exactly the bound passes, whatever the last digit of the floats
INTERVAL_ROUNDING = 1e-4  # intervals are computed in float32


def judge_comparison(
    rule: str, subject: str, *, model: Document, other: Document, interval: Document, parameters: GateParameters
) -> Judgement:
    """Judges the difference of a metric, and the lower end of its interval, both relative to the other's metric.

    The second bound keeps a model from passing because few targets make the interval wide.

    Args:
        rule: name of the rule.
        subject: who is compared by what.
        model: the metric of the model.
        other: the metric of the other on the same targets.
        interval: [low, high], the paired interval of model minus other.
        parameters: the bounds.

    Raises:
        UnusableError: a value is unusable, or the interval is not that of the two metrics.
    """
    base = other.number(0, 1)
    difference = model.number(0, 1) - base
    low, high = interval.interval()
    if not low - INTERVAL_ROUNDING <= difference <= high + INTERVAL_ROUNDING:
        raise UnusableError(
            f"Expected the difference of {subject} inside its interval {low:+.4f} to {high:+.4f}. "
            f"Received: {difference:+.4f}; they come from different targets"
        )
    passes = (
        difference >= -parameters.gate_max_mean_loss * base - ROUNDING
        and low >= -parameters.gate_max_interval_loss * base - ROUNDING
    )
    if base > 0:
        found = f"{base + difference:.4f} against {base:.4f}: {difference / base:+.2%}, from {low / base:+.2%}"
    else:
        found = f"{difference:.4f} against 0"
    return Judgement(
        rule=rule,
        subject=subject,
        bound=f"at least {-parameters.gate_max_mean_loss:.1%}, interval from {-parameters.gate_max_interval_loss:.1%}",
        measured=found,
        verdict=PASSES if passes else REFUSES,
    )
