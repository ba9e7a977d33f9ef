import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from factories import HOSTILE_IDS, make_events
from lookup_model import LookupModel, save_model

from components.core.events import write_split
from components.core.saved_model import embed_catalogue
from components.core.vocabulary import Vocabulary
from components.export import index
from components.export.index import Index
from components.export.step import describe_embeddings, export
from components.train.parameters import TrainParameters
from components.train.step import train_model
from components.vocabulary.step import make_vocabulary

pytestmark = pytest.mark.slow  # they share a training and an export


@pytest.fixture(scope="module")
def exported(small_artifacts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    parameters = TrainParameters(
        query_tower="mean",
        embedding_dim=16,
        batch_size=256,
        num_negatives=64,
        learning_rate=0.02,
        max_epochs=1,
        refit=False,
    )
    train_model(*small_artifacts, folder / "model", folder / "tensorboard", parameters)
    export(*small_artifacts, folder / "model", folder / "index", folder / "embeddings.parquet")
    return folder


@pytest.fixture(scope="module")
def exact(exported, small_artifacts):
    """Every item's score for a session, by id."""
    vocabulary = Vocabulary.read(small_artifacts[1])
    model = tf.saved_model.load(str(exported / "model"))
    candidates = embed_catalogue(model, vocabulary)

    def score(session):
        answer = model.query(tf.constant([""]), tf.constant([session]))
        scores = dict(zip(vocabulary.item_ids.to_pylist(), candidates @ answer["embedding"].numpy()[0], strict=True))
        for item_id, bonus in zip(session, answer["bonus"].numpy()[0], strict=True):
            scores[item_id] += bonus
        return scores

    return score


SESSION = ["i3", "i5", "i3"]


def test_the_trained_model_has_a_bonus_for_the_newest_place_of_each_item(exported):
    model = tf.saved_model.load(str(exported / "model"))
    first, second, third = model.query(tf.constant([""]), tf.constant([SESSION]))["bonus"].numpy()[0]
    assert first == 0.0
    assert 0.0 not in (second, third)


def test_returns_the_best_items_by_exact_score(exported, exact):
    found = index.recommend(exported / "index", SESSION, k=7, exclude_seen=False).items
    scores = exact(SESSION)
    best = sorted(scores, key=scores.get, reverse=True)[:7]
    assert [item for item, _ in found] == best
    assert [score for _, score in found] == pytest.approx([scores[item] for item in best], rel=1e-4)


def test_excludes_what_was_seen_and_still_fills_k(exported, exact):
    found = index.recommend(exported / "index", SESSION, k=7, exclude_seen=True).items
    scores = exact(SESSION)
    best = [item for item in sorted(scores, key=scores.get, reverse=True) if item not in SESSION][:7]
    assert [item for item, _ in found] == best


def test_more_than_the_catalogue_gives_the_catalogue(exported, exact):
    found = index.recommend(exported / "index", SESSION, k=10_000, exclude_seen=True).items
    assert {item for item, _ in found} == set(exact(SESSION)) - set(SESSION)


def test_a_batch_is_padded_and_each_session_has_its_own_exclusions(exported):
    loaded = tf.saved_model.load(str(exported / "index")).signatures["recommend"]
    answer = loaded(
        item_ids=tf.constant([["i3", "i5"], ["i9", ""]]),
        k=tf.constant([5]),
        exclude_ids=tf.constant([["i3", "i5"], ["", ""]]),
    )
    assert answer["item_ids"].shape == (2, 5)
    alone = index.recommend(exported / "index", ["i9"], k=5, exclude_seen=False)
    assert [item.decode() for item in answer["item_ids"].numpy()[1]] == [item for item, _ in alone.items]
    assert not {b"i3", b"i5"} & set(answer["item_ids"].numpy()[0])


def test_embeddings_are_those_the_index_uses(exported, exact):
    table = pq.read_table(exported / "embeddings.parquet")
    assert table.column_names == ["item_id", "embedding"]
    scores = exact(SESSION)
    assert set(table["item_id"].to_pylist()) == set(scores)
    embeddings = np.array(table["embedding"].to_pylist())
    assert embeddings.shape[1] == 16 + 1  # unit vectors, and the trend
    norms = np.linalg.norm(embeddings[:, :-1], axis=1)
    np.testing.assert_allclose(norms, 1.0, rtol=1e-4)


@pytest.mark.slow
def test_an_index_that_answers_wrongly_fails_the_step(small_artifacts, exported, tmp_path, monkeypatch):
    save = Index.save

    def save_with_older_candidates(self, index_dir):
        self.search.table[: self.num_items].assign(tf.roll(self.search.table[: self.num_items], 1, axis=0))
        save(self, index_dir)

    monkeypatch.setattr(Index, "save", save_with_older_candidates)
    with pytest.raises(RuntimeError, match=r"failed its check. Expected the best exact scores"):
        export(*small_artifacts, exported / "model", tmp_path / "index", tmp_path / "embeddings.parquet")
    assert not (tmp_path / "embeddings.parquet").exists()


def test_embeddings_say_how_they_are_searched(exported):
    metadata = {
        name.decode(): json.loads(value)
        for name, value in pq.read_schema(exported / "embeddings.parquet").metadata.items()
    }
    assert metadata == {
        "dimension": 17,
        "embedding_dim": 16,
        "trend_coordinate": 16,
        "metric": "inner_product",
        "normalized": True,
        "temperature": 0.08,
        "query": "signature `query` of the model artifact",
        "bonus": "output `bonus` of the same signature, for the items of the session",
    }


def test_what_is_wrong_is_said(tmp_path, exported):
    with pytest.raises(FileNotFoundError, match="Expected an index"):
        index.recommend(tmp_path, ["i1"], k=5, exclude_seen=False)
    with pytest.raises(ValueError, match="Expected k to be at least 1"):
        index.recommend(exported / "index", ["i1"], k=0, exclude_seen=False)
    with pytest.raises(ValueError, match="Expected a session of item ids"):
        index.recommend(exported / "index", [""], k=5, exclude_seen=False)
    with pytest.raises(ValueError, match=r"Expected the folder of an index.* the index is the folder `index`"):
        index.recommend(exported / "model", ["i1"], k=5, exclude_seen=False)


def test_unknown_ids_of_a_session_are_named(exported, small_artifacts):
    not_text = os.fsdecode(b"\xff")
    session = ["i3", " i3", "new", "i5", "\0", not_text, "new"]
    answer = index.recommend(exported / "index", session, k=3, exclude_seen=False)
    assert answer.unknown == [" i3", "new", "\0", not_text]
    assert len(answer.items) == 3
    assert index.recommend(exported / "index", ["i3"], k=3, exclude_seen=False).unknown == []
    # Nothing known: the most popular items.
    popular = Vocabulary.read(small_artifacts[1]).item_ids.to_pylist()[:3]
    answer = index.recommend(exported / "index", ["new"], k=3, exclude_seen=True)
    assert answer.items == list(zip(popular, np.float32([1, 1 / 2, 1 / 3]).tolist(), strict=True))


class Strict(LookupModel):
    """Takes no more than `max_length` items."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "session_id"),
            tf.TensorSpec([None, None], tf.string, "item_ids"),
        ]
    )
    def query(self, session_id, item_ids):
        tf.debugging.assert_less_equal(tf.shape(item_ids)[1], self.max_length)
        return super().query(session_id, item_ids)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Everything that is exported of a model whose items have every kind of id, and of one very long test session."""
    folder = tmp_path_factory.mktemp("hostile")
    sessions = {f"visitor-{number}@example.com": [item_id] * 2 for number, item_id in enumerate(HOSTILE_IDS)}
    for split, more in (("train", {}), ("test", {"visitor-bot": HOSTILE_IDS * 100})):
        write_split(make_events(more | sessions), folder / "events", split)
    make_vocabulary(folder / "events", folder / "vocabulary.parquet", min_item_count=1, include_valid=False)
    save_model(Strict(HOSTILE_IDS, max_length=3), folder / "model", max_session_length=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LC_ALL", "C")
        artifacts = (folder / "events", folder / "vocabulary.parquet", folder / "model")
        export(*artifacts, folder / "index", folder / "embeddings.parquet")
    return folder


@pytest.mark.slow
def test_every_id_comes_back_as_it_was(hostile):
    assert set(pq.read_table(hostile / "embeddings.parquet")["item_id"].to_pylist()) == set(HOSTILE_IDS)
    everything, unknown = index.recommend(hostile / "index", HOSTILE_IDS[-3:], k=1_000, exclude_seen=False)
    assert unknown == []
    assert sorted(item_id for item_id, _ in everything) == sorted(HOSTILE_IDS)
    loaded = tf.saved_model.load(str(hostile / "index")).signatures
    assert loaded["known"](item_ids=tf.constant([HOSTILE_IDS]))["known"].numpy().all()
    sessions = tf.constant([[item_id] for item_id in HOSTILE_IDS])
    answer = loaded["recommend"](item_ids=sessions, k=tf.constant([1]), exclude_ids=tf.fill(sessions.shape, ""))
    assert [item.decode() for item in answer["item_ids"].numpy()[:, 0]] == HOSTILE_IDS  # the item's own vector
    answer = loaded["recommend"](item_ids=sessions, k=tf.constant([1_000]), exclude_ids=sessions)
    for item_id, row in zip(HOSTILE_IDS, answer["item_ids"].numpy(), strict=True):
        assert {item.decode() for item in row} == set(HOSTILE_IDS) - {item_id} | {""}


@pytest.mark.slow
def test_what_is_exported_holds_no_session_id(hostile):
    files = [path for path in (hostile / "index").rglob("*") if path.is_file()]
    contents = b"".join(path.read_bytes() for path in [*files, hostile / "embeddings.parquet"])
    assert b"serving_default" in contents
    assert b"visitor-" not in contents


@pytest.mark.slow
def test_a_failed_check_names_ids_in_ascii(hostile, tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    save = Index.save

    def save_with_wrong_names(self, index_dir):
        self.item_ids = tf.roll(self.item_ids, 1, axis=0)
        save(self, index_dir)

    monkeypatch.setattr(Index, "save", save_with_wrong_names)
    artifacts = (hostile / "events", hostile / "vocabulary.parquet", hostile / "model")
    with pytest.raises(RuntimeError, match="Expected each item with its own exact score") as error:
        export(*artifacts, tmp_path / "index", tmp_path / "embeddings.parquet")
    assert str(error.value).replace("\n", "").isprintable()
    assert str(error.value).isascii()


def test_without_a_trend_there_is_no_coordinate_for_it():
    parameters = TrainParameters(embedding_dim=16).to_dict()
    assert describe_embeddings(parameters, dimension=17)["trend_coordinate"] == 16
    assert "trend_coordinate" not in describe_embeddings(parameters, dimension=16)


def test_the_bonus_is_described_if_there_is_one():
    assert "bonus" in describe_embeddings(TrainParameters().to_dict(), dimension=128)
    assert "bonus" not in describe_embeddings(TrainParameters(pointer=False).to_dict(), dimension=128)


def test_without_a_session_to_check_the_index_with_nothing_is_written(make_artifacts, tmp_path):
    artifacts = make_artifacts(train={"s": ["a", "b"]}, test={"t": ["a"], "u": ["b"]})
    save_model(LookupModel(["a", "b"]), tmp_path / "model")
    with pytest.raises(ValueError, match=r"Expected test sessions with at least two events.* Received: 2 sessions"):
        export(*artifacts, tmp_path / "model", tmp_path / "index", tmp_path / "embeddings.parquet")
    assert not (tmp_path / "index").exists()


@pytest.mark.slow
def test_a_session_whose_known_items_are_too_old_to_be_read_passes_the_check(make_artifacts, tmp_path):
    """The index and the exact scores agree on which sessions get the most popular items."""
    items = ["a", "b", "c"]
    sessions = {"t": ["c", "new", "new", "new", "a"], "u": ["c", "new", "new", "a"]}
    artifacts = make_artifacts(train={"s": items}, test=sessions)
    save_model(LookupModel(items, max_length=3), tmp_path / "model", max_session_length=3)
    export(*artifacts, tmp_path / "model", tmp_path / "index", tmp_path / "embeddings.parquet")
    first, second = (
        index.recommend(tmp_path / "index", session[:-1], k=3, exclude_seen=False).items
        for session in sessions.values()
    )
    assert first == [("a", 1.0), ("b", 0.5), ("c", pytest.approx(1 / 3))]
    assert first != second
