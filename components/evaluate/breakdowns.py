"""Groups of targets, and the metrics of each group."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.metrics import Bootstrap, Ranks, recall, summarize
from components.core.sequences import Sessions
from components.core.vocabulary import UNKNOWN, Vocabulary

DAY = 24 * 60 * 60 * 1000  # in milliseconds
NOT_SEEN = np.iinfo(np.int64).min  # time of an item without a training event

Groups = Mapping[str, npt.NDArray[np.bool_]]


def summarize_groups(ranks: Ranks, groups: Groups, k: int) -> dict[str, Any]:
    """Returns the number of targets and the metrics at k of each group that is not empty."""
    return {
        name: {"num_targets": int(group.sum()), **summarize(ranks[group], [k])}
        for name, group in groups.items()
        if group.any()
    }


def group_intervals(bootstrap: Bootstrap, ranks: Ranks, groups: Groups, k: int) -> dict[str, Any]:
    """Returns the 95% interval of recall@k of each group that is not empty."""
    gains = recall(ranks, k)
    return {
        name: {f"recall@{k}": bootstrap.interval(gains, among=group)} for name, group in groups.items() if group.any()
    }


def group_by_repeat(sessions: Sessions, events: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.bool_]]:
    """Groups targets by whether their item stands in the session before them; unknown items are others."""
    session = np.repeat(np.arange(sessions.num_sessions), sessions.lengths)
    key = session * (int(sessions.items.max()) + 1) + sessions.items
    is_first = np.zeros(len(key), np.bool_)
    is_first[np.unique(key, return_index=True)[1]] = True
    is_repeat = ~is_first[events] & (sessions.items[events] != UNKNOWN)
    return {"repeats": is_repeat, "others": ~is_repeat}


def group_by_prefix(length: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.bool_]]:
    """Groups targets by the number of events before them in the session."""
    bounds = (1, 2, 3, 5, 10, 20)
    groups = {}
    for low, high in itertools.zip_longest(bounds, bounds[1:]):
        name = f"{low}+" if high is None else f"{low}" if high == low + 1 else f"{low}-{high - 1}"
        groups[name] = (length >= low) & (length < (high or np.inf))
    return groups


def group_by_popularity(targets: npt.NDArray[np.int32], vocabulary: Vocabulary) -> dict[str, npt.NDArray[np.bool_]]:
    """Groups known targets by popularity: head, torso and tail items each account for a third of all events."""
    share_before = (np.cumsum(vocabulary.counts) - vocabulary.counts) / vocabulary.counts.sum()
    third = np.append(-1, np.minimum(3 * share_before, 2).astype(np.int64))[targets]
    return {name: third == number for number, name in enumerate(("head", "torso", "tail"))}


def group_by_recency(
    targets: npt.NDArray[np.int32], times: npt.NDArray[np.int64], last_seen: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Groups targets by the time from the newest training event of their item; items without one are in no group.

    Args:
        targets: [num_targets] item indices.
        times: [num_targets] time of each target, in milliseconds.
        last_seen: [num_items] time of the newest training event of each item, likewise; NOT_SEEN for none.
    """
    seen = np.append(NOT_SEEN, last_seen)[targets]
    age = times - np.where(seen == NOT_SEEN, 0, seen)
    bounds = {"up to 1 day": 1, "1 to 7 days": 7, "7 to 30 days": 30, "over 30 days": np.inf}
    low, groups = -np.inf, {}
    for name, days in bounds.items():
        groups[name] = (seen != NOT_SEEN) & (age > low) & (age <= days * DAY)
        low = days * DAY
    return groups
