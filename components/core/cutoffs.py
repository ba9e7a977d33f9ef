"""The cut-off at which the metrics of a model are summarised."""

from collections.abc import Iterable

SUMMARY_K = 20


def choose_cutoff(names: Iterable[str]) -> int:
    """Returns SUMMARY_K or, if no metric was computed at it, the highest cut-off.

    Args:
        names: names of metrics, such as `recall@10`.
    """
    cutoffs = {int(name.partition("@")[2]) for name in names}
    return SUMMARY_K if SUMMARY_K in cutoffs else max(cutoffs)
