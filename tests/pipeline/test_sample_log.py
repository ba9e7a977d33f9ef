import csv
from collections import Counter

from factories import SMALL_LOG


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_same_seed_writes_the_same_log(small_log, tmp_path):
    for split, path in SMALL_LOG.write(tmp_path).items():
        assert path.read_bytes() == small_log[split].read_bytes()


def test_splits_follow_each_other_and_the_last_week_has_new_items(small_log):
    train, valid, test = (read(small_log[split]) for split in ("train", "valid", "test"))

    def starts(rows):
        first = {}
        for row in rows:
            first.setdefault(row["SessionId"], int(row["Time"]))
        return first.values()

    assert max(starts(train)) < min(starts(valid)) < max(starts(valid)) < min(starts(test))
    known = {row["ItemId"] for row in train + valid}
    assert {row["ItemId"] for row in test} - known


def test_sessions_have_three_to_four_events_and_popularity_a_long_tail(small_log):
    rows = read(small_log["train"])
    lengths = Counter(row["SessionId"] for row in rows)
    assert 3 <= len(rows) / len(lengths) <= 4
    assert min(lengths.values()) >= 2
    counts = sorted(Counter(row["ItemId"] for row in rows).values(), reverse=True)
    assert sum(counts[: len(counts) // 10]) > 2 * len(rows) // 10
