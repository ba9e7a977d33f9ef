import pytest

from components.core.vocabulary import Vocabulary
from components.vocabulary.step import make_vocabulary

SPLITS = {
    "train": {"s1": ["a", "a", "b"], "s2": ["c", "a"]},
    "valid": {"s3": ["d", "c"]},
    "test": {"s4": ["e", "a"]},
}


@pytest.mark.parametrize(
    ("refit", "expected"),
    [(False, {"a": 3, "b": 1, "c": 1}), (True, {"a": 3, "c": 2, "b": 1, "d": 1})],
)
def test_counts_what_the_model_is_trained_on_and_never_test(make_artifacts, refit, expected):
    _, path = make_artifacts(refit=refit, **SPLITS)
    vocabulary = Vocabulary.read(path)
    assert dict(zip(vocabulary.item_ids.to_pylist(), vocabulary.counts.tolist(), strict=True)) == expected
    assert vocabulary.item_ids.to_pylist() == list(expected)


def test_after_the_gate_test_counts_too(make_artifacts):
    events_dir, path = make_artifacts(**SPLITS)
    vocabulary = make_vocabulary(events_dir, path, min_item_count=1, include_valid=False, include_test=True)
    counts = dict(zip(vocabulary.item_ids.to_pylist(), vocabulary.counts.tolist(), strict=True))
    assert counts == {"a": 4, "c": 2, "b": 1, "d": 1, "e": 1}


def test_min_item_count(make_artifacts):
    _, path = make_artifacts(min_item_count=2, **SPLITS)
    assert Vocabulary.read(path).item_ids.to_pylist() == ["a"]
