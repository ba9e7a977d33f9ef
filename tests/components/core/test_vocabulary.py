import numpy as np
import pyarrow as pa
import pytest

from components.core.vocabulary import Vocabulary


def chunked(*items: str) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(items[:2], pa.string()), pa.array(items[2:], pa.string())])


def test_ordered_by_count_then_id():
    vocabulary = Vocabulary.count(chunked("b", "a", "c", "c", "b", "d", "c"))
    assert vocabulary.item_ids.to_pylist() == ["c", "b", "a", "d"]
    assert vocabulary.counts.tolist() == [3, 2, 1, 1]


def test_rare_items_are_unknown():
    vocabulary = Vocabulary.count(chunked("b", "a", "c", "c", "b"), min_count=2)
    assert vocabulary.encode(chunked("a", "b", "c", "new")).tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("dictionary", [False, True])
def test_encode_gives_indices_from_1_and_0_for_unknown(dictionary):
    vocabulary = Vocabulary.count(chunked("x", "x", "y"))
    ids = chunked("y", "nothing", "x", "y")
    assert vocabulary.encode(ids.dictionary_encode() if dictionary else ids).tolist() == [2, 0, 1, 2]


def test_survives_the_disk(tmp_path):
    vocabulary = Vocabulary.count(chunked("1e5", "007", "007", "né"))
    vocabulary.write(tmp_path / "v.parquet")
    read = Vocabulary.read(tmp_path / "v.parquet")
    assert read.item_ids.equals(vocabulary.item_ids)
    assert np.array_equal(read.counts, vocabulary.counts)


def test_nothing_frequent_enough_is_an_error():
    with pytest.raises(ValueError, match=r"Expected at least one item with 3 events. Received: 2 items in 2 events"):
        Vocabulary.count(chunked("a", "b"), min_count=3)
