import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.core.saved_model import embed_catalogue
from components.core.vocabulary import Vocabulary
from components.export import index
from components.export.index import Index
from components.export.step import export
from components.train.parameters import TrainParameters
from components.train.step import train_model


@pytest.fixture(scope="module")
def exported(small_artifacts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    parameters = TrainParameters(
        embedding_dim=16, batch_size=256, num_negatives=64, learning_rate=0.02, max_epochs=1, refit=False
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
        query = model.query(tf.constant([""]), tf.constant([session]))["embedding"].numpy()[0]
        return dict(zip(vocabulary.item_ids.to_pylist(), candidates @ query, strict=True))

    return score


SESSION = ["i3", "i5", "i3"]


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
    loaded = tf.saved_model.load(str(exported / "index")).signatures["serving_default"]
    answer = loaded(
        item_ids=tf.constant([["i3", "i5"], ["i9", ""]]),
        k=tf.constant(5),
        exclude_ids=tf.constant([["i3", "i5"], ["", ""]]),
    )
    assert answer["item_ids"].shape == (2, 5)
    alone = index.recommend(exported / "index", ["i9"], k=5, exclude_seen=False).items
    assert [item.decode() for item in answer["item_ids"].numpy()[1]] == [item for item, _ in alone]
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


def test_an_index_that_answers_wrongly_fails_the_step(small_artifacts, exported, tmp_path, monkeypatch):
    save = Index.save

    def save_with_older_candidates(self, index_dir):
        stale = tf.roll(self.brute_force._candidates, 1, axis=0)
        self.brute_force.index(stale, self.brute_force._identifiers)
        save(self, index_dir)

    monkeypatch.setattr(Index, "save", save_with_older_candidates)
    with pytest.raises(RuntimeError, match=r"failed its check. Expected each item with its own exact score"):
        export(*small_artifacts, exported / "model", tmp_path / "index", tmp_path / "embeddings.parquet")
    assert not (tmp_path / "embeddings.parquet").exists()


def test_what_is_wrong_is_said(tmp_path, exported):
    with pytest.raises(FileNotFoundError, match="Expected an index"):
        index.recommend(tmp_path, ["i1"], k=5, exclude_seen=False)
    with pytest.raises(ValueError, match="Expected k to be at least 1"):
        index.recommend(exported / "index", ["i1"], k=0, exclude_seen=False)
    with pytest.raises(ValueError, match="Expected a session of item ids"):
        index.recommend(exported / "index", [""], k=5, exclude_seen=False)
