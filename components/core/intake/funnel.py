"""The funnel: what became of each line that was read."""

from collections.abc import Mapping
from typing import Any

from components.core.presentation import list_names, shorten, show_time

MAX_NAMES = 20  # number of event types that are named; the others share one label
OTHER_TYPES = "other event types"
# The parameter that decides how many events a label of the funnel has.
DECIDED_BY = {
    "sampled out": "sample_fraction",
    "outside the window": "as_of, window_days",
    "busy visitors": "max_visitor_events",
    "long sessions": "max_session_events",
    "sessions too short": "min_session_length",
    "items too rare": "min_item_support",
}
SECONDS = (946_684_800, 4_102_444_800)  # times from 2000 to 2100 in seconds; as milliseconds they are in 1970


def make_funnel(
    num_lines: int, rejected: Mapping[str, int], dropped: Mapping[str, int], kept: Mapping[str, int]
) -> dict[str, Any]:
    """Creates the funnel of a log.

    Args:
        num_lines: number of lines read.
        rejected: number of rejected lines by reason.
        dropped: number of accepted but dropped events by label, in the order in which they were dropped.
        kept: number of events of each split.

    Returns:
        A dictionary with `read`, `dropped` and `kept`. Labels without events are left out.

    Raises:
        ValueError: the numbers do not add up.
    """
    labels = {f"rejected: {reason}": count for reason, count in rejected.items()}
    labels.update({label: count for label, count in dropped.items() if count})
    funnel = {"read": num_lines, "dropped": labels, "kept": dict(kept)}
    check_funnel(funnel)
    return funnel


def check_funnel(funnel: Mapping[str, Any]) -> None:
    """Checks that each line is counted once.

    Raises:
        ValueError: the numbers do not add up.
    """
    counts = [*funnel["dropped"].values(), *funnel["kept"].values()]
    if sum(counts) != funnel["read"] or min(counts) < 0:
        raise ValueError(f"Expected the funnel to add up to the {funnel['read']} lines read. Received: {dict(funnel)}")


def name_types(num_events: Mapping[str, int]) -> dict[str, int]:
    """Labels of the event types in the funnel and their number of events, the most frequent first.

    Args:
        num_events: number of events by type; OTHER_TYPES stands for types that were not counted one by one.
    """
    in_order = sorted(set(num_events) - {OTHER_TYPES}, key=lambda name: (-num_events[name], name))
    named = in_order[:MAX_NAMES]
    labels = {f"event type: {name}": num_events[name] for name in named}
    rest = sum(num_events.values()) - sum(labels.values())
    return {**labels, OTHER_TYPES: rest} if rest else labels


def describe_counts(counts: Mapping[str, int]) -> str:
    """Texts such as `view 4,742, addtocart 440`, as many as a message lists."""
    return list_names([f"{shorten(name)} {count:,}" for name, count in counts.items()])


def describe_dropped(dropped: Mapping[str, int], *, is_raw_log: bool) -> list[str]:
    """Says what was dropped before a split that is empty, and which parameters decide it.

    Args:
        dropped: number of dropped events by label.
        is_raw_log: whether the step has split the log itself.
    """
    counts = {label: count for label, count in dropped.items() if count}
    parameters = [DECIDED_BY[label] for label in counts if label in DECIDED_BY]
    parameters += ["test_days", "valid_days"] if is_raw_log else []
    texts = [f"Dropped: {describe_counts(counts)}"] if counts else []
    return [*texts, f"Parameters that decide this: {', '.join(parameters)}"] if parameters else texts


def describe_span(first_time: int, last_time: int) -> str:
    """The time of the oldest and of the newest event, and whether they look like seconds instead of milliseconds."""
    text = f"from {show_time(first_time)} to {show_time(last_time)} UTC"
    low, high = SECONDS
    return f"{text} (these look like seconds)" if low <= last_time < high else text
