"""Says where a split is too small for its metrics to mean anything."""

from collections.abc import Mapping
from typing import Any

from components.core.presentation import count_of

MIN_EVENTS = 100
MIN_TARGETS = 30
EVALUATED = ("valid", "test")


def find_small_splits(num_events: Mapping[str, int]) -> dict[str, int]:
    """Returns the number of events of those of EVALUATED that have fewer than MIN_EVENTS.

    Args:
        num_events: number of events by split.
    """
    return {name: num_events[name] for name in EVALUATED if num_events.get(name, MIN_EVENTS) < MIN_EVENTS}


def describe_small_splits(report: Mapping[str, Any]) -> str:
    """Returns one line about the small splits and what to do; empty if there are none.

    Args:
        report: the contents of the data report.
    """
    small = find_small_splits({name: split["num_events"] for name, split in report["splits"].items()})
    if not small:
        return ""
    found = " and ".join(f"{name} has {count_of(count, 'event')}" for name, count in small.items())
    return (
        f"{found}; metrics on fewer than {MIN_EVENTS} events prove nothing. Look at the times of the first and last "
        "events, which two-tower check shows; if stray events lie after the end of a raw log, set as_of to that end"
    )


def describe_few_targets(num_targets: int) -> str:
    """Returns one sentence if intervals are from fewer than MIN_TARGETS targets; else an empty text."""
    if num_targets >= MIN_TARGETS:
        return ""
    return (
        f"The test has {count_of(num_targets, 'target')}: with fewer than {MIN_TARGETS}, neither the metrics nor their "
        "intervals say how good the model is."
    )
