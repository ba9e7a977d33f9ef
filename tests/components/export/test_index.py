import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from lookup_model import LookupModel

from components.export.index import Index, recommend


def save_index(item_ids, index_dir):
    model = LookupModel(item_ids)
    candidates = model.candidate(tf.constant(item_ids))["embedding"].numpy()
    Index(model, item_ids=pa.array(item_ids), candidates=candidates).save(index_dir)
    return index_dir


@pytest.fixture(scope="module")
def small_index(tmp_path_factory):
    return save_index(["a", "b", "c", "d", "e"], tmp_path_factory.mktemp("small") / "index")


@pytest.fixture(scope="module")
def ask(small_index):
    signature = tf.saved_model.load(str(small_index)).signatures["serving_default"]

    def run(session, k, exclude_ids):
        exclude_ids = tf.constant(exclude_ids, tf.string)
        answer = signature(item_ids=tf.constant(session), k=tf.constant(k), exclude_ids=exclude_ids)
        return answer["item_ids"].numpy(), answer["scores"].numpy()

    return run


def test_shapes_are_those_documented(ask):
    sessions, largest = [["a", ""], ["b", "c"]], np.iinfo(np.int32).max
    for k, width in ((1, 1), (5, 5), (6, 5), (largest, 5)):
        for exclude_ids in ([[], []], [["", ""], ["", ""]], [["a", "b"], ["c", ""]], [["a", "a"], ["none", "b"]]):
            found, scores = ask(sessions, k, exclude_ids)
            assert found.shape == scores.shape == (2, width), (k, exclude_ids)
            for row, row_scores, excluded in zip(found.tolist(), scores, exclude_ids, strict=True):
                left = {b"a", b"b", b"c", b"d", b"e"} - {each.encode() for each in excluded}
                num_left = min(width, len(left))
                assert set(row[:num_left]) <= left
                assert len(set(row[:num_left])) == num_left
                assert row[num_left:] == [b""] * (width - num_left)
                assert np.isfinite(row_scores[:num_left]).all()
                assert (row_scores[num_left:] == -np.inf).all()
                assert (np.diff(row_scores[:num_left]) <= 0).all()
    found, scores = ask(sessions, 3, [["a", "b", "c", "d", "e"], ["", "", "", "", ""]])
    assert found[0].tolist() == [b""] * 3
    assert (scores[0] == -np.inf).all()
    assert ask(tf.zeros([0, 2], tf.string), 3, tf.zeros([0, 1], tf.string))[0].shape == (0, 3)


@pytest.mark.parametrize("k", [0, -1, np.iinfo(np.int32).min])
def test_k_below_1_is_refused(ask, k):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected k to be at least 1"):
        ask([["a"]], k, [["b"]])


@pytest.mark.parametrize("num_rows", [0, 1, 3])
def test_exclusions_of_another_number_of_sessions_are_refused(ask, num_rows):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected as many rows of exclude_ids as sessions"):
        ask([["a"], ["b"]], 2, [["c"]] * num_rows if num_rows else tf.zeros([0, 1], tf.string))


def test_the_largest_k_is_the_catalogue(small_index):
    for k in (np.iinfo(np.int32).max, 2**40):
        answer = recommend(small_index, ["a", "b"], k=k, exclude_seen=True)
        assert sorted(item_id for item_id, _ in answer.items) == ["c", "d", "e"]


def test_a_request_may_exclude_nearly_the_whole_catalogue(tmp_path):
    item_ids = [f"i{number}" for number in range(100_000)]
    answer = recommend(save_index(item_ids, tmp_path), item_ids[:-3], k=5, exclude_seen=True)
    assert {item_id for item_id, _ in answer.items} == set(item_ids[-3:])


def test_known_has_the_shape_of_the_question(small_index):
    known = tf.saved_model.load(str(small_index)).signatures["known"]
    answer = known(item_ids=tf.constant([["a", "", "f"], ["e", "A", "a "]]))["known"].numpy()
    assert answer.tolist() == [[True, False, False], [True, False, False]]
    assert known(item_ids=tf.zeros([2, 0], tf.string))["known"].shape == (2, 0)


def test_an_index_of_an_older_version_is_to_be_exported_again(tmp_path):
    module = tf.Module()
    module.ask = tf.function(lambda: {"scores": tf.constant(1.0)}, input_signature=[])
    tf.saved_model.save(module, str(tmp_path), signatures=module.ask)
    with pytest.raises(ValueError, match="with the signatures serving_default; export it again"):
        recommend(tmp_path, ["a"], k=1, exclude_seen=False)
