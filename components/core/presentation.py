"""How people read times, metrics and names: in messages, reports, on the terminal and on a cluster's web page."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice

CUTOFF = 20  # the cut-off of the metrics that are shown first
MAX_NAMES = 20  # number of names that a message lists
MAX_NAME_LENGTH = 80  # number of characters of a name that a message shows


def shorten(name: str) -> str:
    """Returns at most MAX_NAME_LENGTH characters of a name, with dots if some are left out."""
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}..."


def list_names(names: Collection[str], *, quoted: bool = False) -> str:
    """Returns the first MAX_NAMES names, shortened and separated by commas, and how many more there are.

    Args:
        names: names or values that the user has chosen, of any number and length.
        quoted: show each as a literal of Python, so that blanks at its ends are seen.
    """
    shown = [shorten(name) for name in islice(names, MAX_NAMES)]
    texts = [repr(name) for name in shown] if quoted else shown
    more = len(names) - len(texts)
    return ", ".join([*texts, f"... and {more:,} more"] if more else texts)


def count_of(number: int, noun: str) -> str:
    """Returns a number with its noun, such as `1 target` and `1,000 targets`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def choose_cutoff(names: Iterable[str]) -> int:
    """Returns CUTOFF or, if no metric was computed at it, the highest cut-off.

    Args:
        names: names of metrics, such as `recall@20`.
    """
    cutoffs = {int(name.partition("@")[2]) for name in names}
    return CUTOFF if CUTOFF in cutoffs else max(cutoffs)


def is_trivial(metric: str, num_items: int) -> bool:
    """Whether a metric is the same for every ranking: recall at a cut-off that no item is beyond.

    Args:
        metric: name of a metric, such as `recall@20`.
        num_items: number of items that are ranked.
    """
    name, _, cutoff = metric.partition("@")
    return name == "recall" and int(cutoff) >= num_items


def describe_trivial(metrics: Iterable[str], num_items: int) -> str:
    """Returns one sentence about those of some metrics that are trivial; empty if none is."""
    found = [metric for metric in metrics if is_trivial(metric, num_items)]
    return f"Among {count_of(num_items, 'item')}, every ranking has the same {' and '.join(found)}." if found else ""


def show_metric(name: str) -> str:
    """Returns a metric's name as the literature writes it, such as `MRR@20` for `mrr@20`."""
    return name.replace("mrr", "MRR").replace("ndcg", "NDCG")


def show_time(milliseconds: int | None, timespec: str = "seconds") -> str:
    """Returns milliseconds since 1970 as date and time in UTC.

    None gives an empty text. A year that `datetime` cannot represent is shown as milliseconds.

    Args:
        milliseconds: the time.
        timespec: `minutes` or `seconds`, the last part that is shown.
    """
    if milliseconds is None:
        return ""
    try:
        time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds:,} ms"
    return time.replace(tzinfo=None).isoformat(" ", timespec)
