import pytest

from components.core.presentation import choose_cutoff, list_names, show_metric, show_time


@pytest.mark.parametrize(("cutoffs", "expected"), [((1, 20, 100), 20), ((5, 10), 10), ((100, 9), 100), ((20,), 20)])
def test_the_cut_off_is_20_or_the_highest(cutoffs, expected):
    assert choose_cutoff(f"{metric}@{k}" for k in cutoffs for metric in ("recall", "mrr")) == expected


def test_names_of_metrics():
    assert [show_metric(name) for name in ("recall@20", "mrr@5", "ndcg@100")] == ["recall@20", "MRR@5", "NDCG@100"]


@pytest.mark.parametrize(
    ("milliseconds", "minutes", "seconds"),
    [
        (0, "1970-01-01 00:00", "1970-01-01 00:00:00"),
        (1_442_015_999_999, "2015-09-11 23:59", "2015-09-11 23:59:59"),
        (-1, "1969-12-31 23:59", "1969-12-31 23:59:59"),
        (None, "", ""),
        (253_402_300_800_000, "253,402,300,800,000 ms", "253,402,300,800,000 ms"),  # the year 10000
        (1 << 62, "4,611,686,018,427,387,904 ms", "4,611,686,018,427,387,904 ms"),
    ],
)
def test_times(milliseconds, minutes, seconds):
    assert show_time(milliseconds, "minutes") == minutes
    assert show_time(milliseconds) == seconds


def test_a_list_of_names_has_twenty_and_counts_the_others():
    names = [f"name{number}" for number in range(1_020)]
    assert list_names(names[:2]) == "name0, name1"
    assert list_names(names[:20]).endswith(", name19")
    assert list_names(names) == f"{list_names(names[:20])}, ... and 1,000 more"
    assert list_names([" a", "b" * 81], quoted=True) == f"' a', '{'b' * 80}...'"
