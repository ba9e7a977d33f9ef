import numpy as np
import pytest
import tensorflow as tf
from factories import make_events, make_vocabulary_of
from lookup_model import LookupModel
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from components.core.model_scores import model_scores
from components.core.sequences import Sessions
from components.export.index import Index, recommend

EMBEDDING_DIM = 16  # of a LookupModel
PADDING_SCORE = -3.4028234663852886e38  # the smallest float32


def save_index(item_ids, index_dir):
    model = LookupModel(item_ids)
    candidates = model.candidate(tf.constant(item_ids))["embedding"].numpy()
    vocabulary = make_vocabulary_of(item_ids)
    index = Index(
        model,
        vocabulary=vocabulary,
        candidates=candidates,
        embedding_dim=EMBEDDING_DIM,
        max_length=model.max_length,
        serving_k=3,
    )
    index.save(index_dir)
    return index_dir


@pytest.fixture(scope="module")
def small_index(tmp_path_factory):
    return save_index(["a", "b", "c", "d", "e"], tmp_path_factory.mktemp("small") / "index")


@pytest.fixture(scope="module")
def ask(small_index):
    signature = tf.saved_model.load(str(small_index)).signatures["recommend"]

    def run(session, k, exclude_ids):
        exclude_ids = tf.constant(exclude_ids, tf.string)
        answer = signature(item_ids=tf.constant(session), k=tf.constant(k, shape=[np.size(k)]), exclude_ids=exclude_ids)
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
                assert (np.abs(row_scores[:num_left]) < 100).all()
                assert (row_scores[num_left:] == PADDING_SCORE).all()
                assert (np.diff(row_scores[:num_left]) <= 0).all()
    found, scores = ask(sessions, 3, [["a", "b", "c", "d", "e"], ["", "", "", "", ""]])
    assert found[0].tolist() == [b""] * 3
    assert (scores[0] == PADDING_SCORE).all()
    assert ask(tf.zeros([0, 2], tf.string), 3, tf.zeros([0, 1], tf.string))[0].shape == (0, 3)


def test_each_session_may_have_a_k_of_its_own(ask):
    sessions, exclude_ids = [["a", ""], ["b", "c"], ["none", ""]], [["a", ""], ["", ""], ["", "b"]]
    found, scores = ask(sessions, [1, 4, 2], exclude_ids)
    assert found.shape == scores.shape == (3, 4)
    for row, k in enumerate([1, 4, 2]):
        alone, its_scores = ask(sessions[row : row + 1], k, exclude_ids[row : row + 1])
        assert found[row].tolist() == alone[0].tolist() + [b""] * (4 - k)
        np.testing.assert_allclose(scores[row], its_scores[0].tolist() + [PADDING_SCORE] * (4 - k), rtol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected as many values of k as sessions"):
        ask(sessions, [1, 2], exclude_ids)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected k to be at least 1"):
        ask(sessions, [1, 0, 1], exclude_ids)


def test_the_default_signature_needs_nothing_but_sessions(small_index, ask):
    signature = tf.saved_model.load(str(small_index)).signatures["serving_default"]
    for sessions in ([["a", "b"], ["none", ""]], [["d"]], [["e"], ["a"], ["a"]]):
        answer = signature(item_ids=tf.constant(sessions))
        found, scores = ask(sessions, 3, [[]] * len(sessions))  # serving_k is 3
        assert answer["item_ids"].numpy().tolist() == found.tolist()
        np.testing.assert_allclose(answer["scores"], scores, rtol=1e-6)


def test_every_input_and_output_has_the_sessions_as_its_first_dimension(small_index):
    """What TensorFlow Serving needs for the format of rows and for batching: the size of the batch is not fixed."""
    signatures = tf.saved_model.load(str(small_index)).signatures
    text, number = tf.string, tf.float32
    expected = {
        "serving_default": ({"item_ids": (text, 2)}, {"item_ids": (text, [None, 3]), "scores": (number, [None, 3])}),
        "recommend": (
            {"item_ids": (text, 2), "k": (tf.int32, 1), "exclude_ids": (text, 2)},
            {"item_ids": (text, [None, None]), "scores": (number, [None, None])},
        ),
        "known": ({"item_ids": (text, 2)}, {"known": (tf.bool, [None, None])}),
        "similarity": (
            {"item_ids": (text, 2), "other_ids": (text, 2)},
            {"similarity": (number, [None, None, None])},
        ),
    }
    for name, (inputs, outputs) in expected.items():
        function = signatures[name]
        specs = function.structured_input_signature[1]
        assert {key: (spec.dtype, spec.shape.rank) for key, spec in specs.items()} == inputs
        assert all(spec.shape.as_list() == [None] * spec.shape.rank for spec in specs.values())
        found = function.structured_outputs
        assert {key: (spec.dtype, spec.shape.as_list()) for key, spec in found.items()} == outputs
    assert signatures.keys() == expected.keys()


def test_standard_operations_alone(small_index):
    """A server without operations of other packages loads the index."""
    saved = saved_model_pb2.SavedModel.FromString((small_index / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    used = {node.op for nodes in (graph.node, *(each.node_def for each in graph.library.function)) for node in nodes}
    own = {each.signature.name for each in graph.library.function}
    assert [name for name in used - own if op_def_registry.get(name) is None] == []


def test_similarity_is_the_cosine_without_the_trend(small_index):
    vectors = dict(zip("abcde", LookupModel(["a", "b", "c", "d", "e"]).vectors.numpy()[1:], strict=True))
    signature = tf.saved_model.load(str(small_index)).signatures["similarity"]
    answer = signature(item_ids=tf.constant([["a", "none", "b"]]), other_ids=tf.constant([["c", "a", "", "e"]]))
    expected = [[vectors["a"] @ vectors[other], 0.0, vectors["b"] @ vectors[other]] for other in ("c", "a", "e")]
    expected.insert(2, [0.0, 0.0, 0.0])
    np.testing.assert_allclose(answer["similarity"].numpy(), [expected], rtol=1e-5, atol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected as many rows of other_ids as sessions"):
        signature(item_ids=tf.constant([["a"]]), other_ids=tf.constant([["c"], ["d"]]))


@pytest.mark.parametrize("serving_k", [0, -1, 2**31])
def test_a_serving_k_that_cannot_be_is_refused(serving_k):
    model = LookupModel(["a"])
    with pytest.raises(ValueError, match="Expected serving_k to be from 1 to 2147483647"):
        Index(
            model,
            vocabulary=make_vocabulary_of(["a"]),
            candidates=model.candidate(tf.constant(["a"]))["embedding"].numpy(),
            embedding_dim=EMBEDDING_DIM,
            max_length=8,
            serving_k=serving_k,
        )


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
    Index(model, vocabulary=vocabulary, candidates=candidates, embedding_dim=EMBEDDING_DIM, max_length=MAX_LENGTH).save(
        tmp_path
    )
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
    index = tf.saved_model.load(str(tmp_path)).signatures["recommend"]
    answer = index(item_ids=tf.constant(np.array(padded)), k=tf.constant([5]), exclude_ids=tf.constant(excluded))
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
