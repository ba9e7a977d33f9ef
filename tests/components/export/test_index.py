import numpy as np
import pytest
import tensorflow as tf
from factories import make_events, make_vocabulary_of
from lookup_model import LookupModel

from components.core.model_scores import model_scores
from components.core.sequences import Sessions
from components.export.index import Index, recommend


def save_index(item_ids, index_dir):
    model = LookupModel(item_ids)
    candidates = model.candidate(tf.constant(item_ids))["embedding"].numpy()
    index = Index(model, vocabulary=make_vocabulary_of(item_ids), candidates=candidates, max_length=model.max_length)
    index.save(index_dir)
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


MAX_LENGTH = 4
CATALOGUE = [f"i{number}" for number in range(12)]


@pytest.fixture(scope="module")
def random_sessions():
    """Sessions of up to 9 items, of which some repeat, some are unknown, and in some sessions all that is read is."""
    rng = np.random.default_rng(0)
    drawn = [rng.choice([*CATALOGUE[:6], "new", "other"], rng.integers(1, 10)).tolist() for _ in range(60)]
    return [*drawn, ["new"], ["i3", *["new"] * MAX_LENGTH], ["i3", *["new"] * (MAX_LENGTH - 1)], ["i2"] * 9]


def score_by_hand(model, session):
    newest = [each for each in session if each][-MAX_LENGTH:]
    if not set(newest) & set(CATALOGUE):
        return 1.0 / np.arange(1, len(CATALOGUE) + 1)
    vectors, trend, bonus = model.vectors.numpy(), model.trend.numpy()[:, 0], model.bonus.numpy()
    rows = [CATALOGUE.index(each) + 1 if each in CATALOGUE else 0 for each in newest]
    scores = vectors[1:] @ vectors[rows].mean(axis=0) + trend[1:]
    for row in set(rows) - {0}:
        scores[row - 1] += bonus[row]
    return scores


def test_the_index_returns_what_is_ranked(tmp_path, random_sessions):
    model = LookupModel(CATALOGUE, max_length=MAX_LENGTH)
    vocabulary = make_vocabulary_of(CATALOGUE)
    candidates = model.candidate(tf.constant(CATALOGUE))["embedding"].numpy()
    Index(model, vocabulary=vocabulary, candidates=candidates, max_length=MAX_LENGTH).save(tmp_path)
    events = make_events({f"s{n}": [*session, "i0"] for n, session in enumerate(random_sessions)})
    sessions = Sessions.encode(events, vocabulary)
    last = sessions.offsets[1:] - 1
    ranked = model_scores(model, candidates, vocabulary, sessions, last, max_length=MAX_LENGTH)(slice(len(last)))
    expected = np.array([score_by_hand(model, session) for session in random_sessions])
    np.testing.assert_allclose(ranked, expected, rtol=1e-5, atol=1e-6)

    rng = np.random.default_rng(1)
    padded = []
    for session in random_sessions:  # "" at any place
        row = np.full(10, "", dtype=object)
        row[np.sort(rng.choice(10, len(session), replace=False))] = session
        padded.append(row)
    excluded = rng.choice([*CATALOGUE, "", "new"], (len(padded), 3)).tolist()
    index = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    answer = index(item_ids=tf.constant(np.array(padded)), k=tf.constant(5), exclude_ids=tf.constant(excluded))
    for number, scores in enumerate(expected):
        order = [row for row in np.argsort(-scores) if CATALOGUE[row] not in excluded[number]][:5]
        assert answer["item_ids"].numpy()[number].tolist() == [CATALOGUE[row].encode() for row in order]
        np.testing.assert_allclose(answer["scores"].numpy()[number], scores[order], rtol=1e-5, atol=1e-6)


def test_after_nothing_known_the_most_popular_items_come_first(small_index):
    for session in (["new"], ["new", "other", "new"]):
        answer = recommend(small_index, session, k=3, exclude_seen=False)
        assert answer.items == [("a", 1.0), ("b", 0.5), ("c", pytest.approx(1 / 3))]
        assert answer.unknown == sorted(set(session))


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
