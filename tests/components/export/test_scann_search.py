import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from factories import make_events, make_vocabulary_of
from lookup_model import LookupModel, save_model

from components.core.events import write_split
from components.core.saved_model import load_index
from components.export import index, step
from components.export.index import Index
from components.export.scann_search import MAX_SHARE, NUM_PARTS, SEARCH_OPERATION, ScannSearch
from components.recommend.answers import BulkIndex
from components.serve.loaded_index import LoadedIndex

NUM_ITEMS = 3_000
ITEM_IDS = [f"i{number}" for number in range(NUM_ITEMS)]


def make_clusters(rng, num_rows, dimension):
    vectors = rng.normal(size=(50, dimension))[rng.integers(0, 50, num_rows)] + rng.normal(size=(num_rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def searched():
    rng = np.random.default_rng(0)
    candidates = make_clusters(rng, NUM_ITEMS, 9)  # an odd dimension, as with a trend
    queries = candidates[:40] + rng.normal(0.0, 0.02, (40, 9)).astype(np.float32)
    return ScannSearch(candidates), candidates, queries.astype(np.float32)


@pytest.mark.parametrize("num_best", [1, 20, int(MAX_SHARE * NUM_ITEMS), int(MAX_SHARE * NUM_ITEMS) + 1, NUM_ITEMS])
def test_nearly_all_of_the_best_are_found_with_their_exact_scores(searched, num_best):
    search, candidates, queries = searched
    scores, rows = (each.numpy() for each in search(tf.constant(queries), tf.constant(num_best)))
    exact = queries @ candidates.T
    assert scores.shape == rows.shape == (40, num_best)
    np.testing.assert_allclose(scores, np.take_along_axis(exact, rows, axis=1), rtol=1e-4, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 1e-6).all()
    assert all(len(set(row)) == num_best for row in rows.tolist())
    best = np.argsort(-exact, axis=1)[:, :num_best]
    recall = np.mean([len({*found} & {*right}) / num_best for found, right in zip(rows.tolist(), best, strict=True)])
    assert recall >= 0.98
    if num_best > MAX_SHARE * NUM_ITEMS:
        np.testing.assert_allclose(scores, -np.sort(-exact, axis=1)[:, :num_best], rtol=1e-4, atol=1e-5)


def test_a_batch_may_be_empty_and_vectors_are_the_candidates(searched):
    search, candidates, queries = searched
    scores, rows = search(tf.constant(queries[:0]), tf.constant(7))
    assert scores.shape == rows.shape == (0, 7)
    np.testing.assert_array_equal(search.vectors(tf.constant([[5, 0]])), candidates[[[5, 0]]])


@pytest.mark.parametrize("num_queries", [1, 32, 33, 129, 300])
def test_the_parts_of_a_batch_are_in_order(searched, num_queries):
    search, _, queries = searched
    rows = np.arange(num_queries) % len(queries)
    whole = search(tf.constant(queries[rows]), tf.constant(7))
    one_by_one = [search(tf.constant(query[np.newaxis]), tf.constant(7)) for query in queries]
    for found, each in zip(whole, zip(*one_by_one, strict=True), strict=True):
        np.testing.assert_allclose(found, np.concatenate(each)[rows], rtol=1e-5, atol=1e-6)


def test_the_parts_of_a_batch_do_not_wait_for_each_other(searched):
    signature = [tf.TensorSpec([None, 9], tf.float32), tf.TensorSpec([], tf.int32)]
    graph = tf.function(searched[0], input_signature=signature).get_concrete_function().graph.as_graph_def()
    [searches] = [
        parts
        for function in graph.library.function
        if (parts := [node for node in function.node_def if node.op == SEARCH_OPERATION])
    ]
    assert len(searches) == NUM_PARTS
    names = {node.name for node in searches}
    assert not [node.name for node in searches if names & {each.lstrip("^").split(":")[0] for each in node.input}]


def save_index(index_dir, num_items, index_kind):
    item_ids = ITEM_IDS[:num_items]
    model = LookupModel(item_ids)
    candidates = model.candidate(tf.constant(item_ids))["embedding"].numpy()
    Index(
        model,
        vocabulary=make_vocabulary_of(item_ids),
        candidates=candidates,
        embedding_dim=16,
        max_length=8,
        index_kind=index_kind,
    ).save(index_dir)
    return index_dir


@pytest.fixture(scope="module")
def index_dir(tmp_path_factory):
    return save_index(tmp_path_factory.mktemp("scann") / "index", NUM_ITEMS, "scann")


@pytest.mark.slow
def test_both_kinds_answer_alike(index_dir, tmp_path):
    exact = tf.saved_model.load(str(save_index(tmp_path / "exact", NUM_ITEMS, "brute_force"))).signatures
    scann = load_index(index_dir, signatures=("recommend",)).signatures
    rng = np.random.default_rng(1)
    sessions = [[f"i{row}" for row in rng.integers(0, NUM_ITEMS, 2)] for _ in range(60)] + [["none", ""], ["", ""]]
    arguments = {
        "item_ids": tf.constant(sessions),
        "k": tf.constant([20]),
        "exclude_ids": tf.constant([[session[0], "i7"] for session in sessions]),
    }
    found, right = (signatures["recommend"](**arguments) for signatures in (scann, exact))
    assert found["item_ids"].shape == right["item_ids"].shape == (62, 20)
    hits = [
        len({*left} & {*right})
        for left, right in zip(found["item_ids"].numpy(), right["item_ids"].numpy(), strict=True)
    ]
    assert np.mean(hits) >= 0.9 * 20  # vectors drawn at random have no clusters
    assert hits[-2:] == [20, 20]  # the most popular items
    own = [session[1].encode() for session in sessions[:60]]
    ranked = right["item_ids"].numpy().tolist()
    assert [item in row for item, row in zip(own, found["item_ids"].numpy().tolist()[:60], strict=True)] == [
        item in row for item, row in zip(own, ranked[:60], strict=True)
    ]
    everything = scann["recommend"](**{**arguments, "k": tf.constant([NUM_ITEMS])})["item_ids"].numpy()
    assert all(len({*row} - {b""}) >= NUM_ITEMS - 2 for row in everything)


def test_the_server_and_answers_in_bulk_load_it(index_dir):
    sessions = pa.record_batch(
        [pa.array(["s"]), pa.array([["i3", "i8"]], pa.list_(pa.string()))], ["session_id", "item_ids"]
    )
    in_bulk = BulkIndex(index_dir).answer(sessions, k=5, exclude_seen=False).table["item_id"].to_pylist()
    served = LoadedIndex(index_dir, version=1).call("recommend", [["i3", "i8"]], [[]], ks=[5])["item_ids"]
    assert in_bulk == [item.decode() for item in served[0]]
    assert in_bulk == [item for item, _ in index.recommend(index_dir, ["i3", "i8"], k=5, exclude_seen=False).items]


def test_indexes_in_one_process_do_not_share_their_items(index_dir, tmp_path):
    first = load_index(index_dir, signatures=("recommend",)).signatures
    other = load_index(save_index(tmp_path / "other", 1_000, "scann"), signatures=("recommend",)).signatures
    for number in (5, 700):
        for signatures, num_items in ((first, NUM_ITEMS), (other, 1_000), (first, NUM_ITEMS)):
            model = LookupModel(ITEM_IDS[:num_items])
            session = tf.constant([[f"i{number}"]])
            candidates = model.candidate(tf.constant(ITEM_IDS[:num_items]))["embedding"].numpy()
            query = model.query(tf.constant([""]), session)
            scores = candidates @ query["embedding"].numpy()[0]
            scores[number] += query["bonus"].numpy()[0, 0]
            answer = signatures["serving_default"](item_ids=session)
            assert answer["item_ids"].numpy()[0, 0].decode() == f"i{scores.argmax()}"
            assert answer["scores"].numpy()[0, 0] == pytest.approx(scores.max(), rel=1e-4)


@pytest.mark.slow
def test_a_fresh_process_loads_it(index_dir):
    code = "from pathlib import Path; from components.export.index import recommend; import sys\n"
    code += "print(recommend(Path(sys.argv[1]), ['i3', 'x'], k=3, exclude_seen=True))"
    ran = subprocess.run([sys.executable, "-c", code, index_dir], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(index.recommend(index_dir, ["i3", "x"], k=3, exclude_seen=True))
    assert ran.stdout.count("('i") == 3
    assert "unknown=['x']" in ran.stdout


def test_without_the_package_the_error_says_what_to_install(index_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "scann.scann_ops.py.scann_ops", None)
    with pytest.raises(FileNotFoundError, match=r"needs the package scann. Install scann 1"):
        load_index(index_dir, signatures=("recommend",))


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    make_vocabulary_of(ITEM_IDS).write(folder / "vocabulary")
    rng = np.random.default_rng(2)
    sessions = {f"s{number}": [f"i{row}" for row in rng.integers(0, NUM_ITEMS, 3)] for number in range(80)}
    write_split(make_events(sessions), folder / "events", "test")
    save_model(LookupModel(ITEM_IDS), folder / "model")
    return folder


def export(artifacts, folder, **parameters):
    paths = [artifacts / name for name in ("events", "vocabulary", "model")]
    return step.export(*paths, folder / "index", folder / "embeddings.parquet", **parameters)


@pytest.mark.slow
def test_the_export_measures_the_index(artifacts, tmp_path):
    document = json.loads(json.dumps(export(artifacts, tmp_path, index_kind="scann").index_check, allow_nan=False))
    assert document["index_kind"] == "scann"
    assert 0.5 < document["index_recall"] <= 1.0
    assert document["score_difference"] < 1e-5
    assert document["batch_queries_per_second"] > 0
    assert document["memory_bytes"] > 4 * 17 * NUM_ITEMS
    files = (tmp_path / "index").rglob("*")
    assert document["size_bytes"] == sum(path.stat().st_size for path in files if path.is_file())


@pytest.mark.slow
def test_a_catalogue_that_shrank_is_exported_all_the_same(artifacts, tmp_path, monkeypatch):
    monkeypatch.setattr("components.export.search.MIN_SCANN_ITEMS", NUM_ITEMS + 1)
    check = export(artifacts, tmp_path, index_kind="scann", min_index_recall=1.0).index_check
    assert check["index_kind"] == "brute_force"
    assert check["index_recall"] == 1.0


@pytest.mark.slow
def test_an_index_that_loses_too_many_items_fails_the_step(artifacts, tmp_path, monkeypatch):
    monkeypatch.setattr("components.export.scann_search.MIN_SEARCHED_LEAVES", 1)
    monkeypatch.setattr("components.export.scann_search.SHARE_OF_LEAVES", 0.001)
    with pytest.raises(RuntimeError, match=r"returns 0\.\d+ of the best items, less than min_index_recall, 0.98"):
        export(artifacts, tmp_path, index_kind="scann", min_index_recall=0.98)
