import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from components.core.events import read_split
from components.core.saved_model import TRAINING_FILE
from components.core.vocabulary import Vocabulary
from components.train.model import StringModel
from components.train.parameters import TrainParameters
from components.train.step import train_model

SMALL = {
    "query_tower": "mean",
    "embedding_dim": 16,
    "batch_size": 256,
    "num_negatives": 64,
    "learning_rate": 0.02,
    "max_epochs": 2,
    "refit": False,
    "max_session_length": 8,
}


@pytest.fixture(scope="module")
def trained(small_artifacts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    train_model(*small_artifacts, folder / "model", folder / "tensorboard", TrainParameters(**SMALL))
    return folder


@pytest.fixture(scope="module")
def model(trained):
    return tf.saved_model.load(str(trained / "model"))


def query(model, *sessions):
    ids = tf.ragged.constant(list(sessions), dtype=tf.string, ragged_rank=1).to_tensor("")
    return model.query(tf.fill([len(sessions)], ""), ids)["embedding"].numpy()


def test_padding_may_stand_anywhere(model):
    alone = query(model, ["i1", "i2"])
    padded = query(model, ["", "i1", "", "i2", ""])
    np.testing.assert_allclose(alone, padded, rtol=1e-5)


def test_only_the_newest_items_are_read(model):
    tail = [f"i{number}" for number in range(8)]
    np.testing.assert_allclose(query(model, tail), query(model, ["i50", "i60", *tail]), rtol=1e-5)
    assert not np.allclose(query(model, tail), query(model, ["i50", *tail[1:]]))


def test_unknown_items_and_empty_sessions_have_an_embedding(model):
    embeddings = query(model, ["nothing"], [], ["i1", "nothing"])
    assert np.isfinite(embeddings).all()
    np.testing.assert_allclose(embeddings[0], embeddings[1], rtol=1e-5)
    assert not np.allclose(embeddings[0], embeddings[2])


def test_the_candidate_tower_takes_raw_ids(model):
    embeddings = model.candidate(tf.constant(["i1", "i2", "nothing", "never heard of"]))["embedding"].numpy()
    assert not np.allclose(embeddings[0], embeddings[1])
    np.testing.assert_array_equal(embeddings[2], embeddings[3])


def test_training_file_tells_what_was_done(trained):
    document = json.loads((trained / "model" / TRAINING_FILE).read_text())
    assert document["parameters"]["max_epochs"] == 2
    assert document["training"]["epochs"] == len(document["selection"]) == 2
    assert document["training"]["targets_per_second"] > 0
    assert document["training"]["peak_memory_bytes"] > 1 << 20
    assert document["refit"] == []


def test_tensorboard_logs_hold_the_validation_metrics(trained):
    (log,) = (trained / "tensorboard" / "selection" / "train").glob("events.*")
    tags = {
        value.tag
        for record in tf.data.TFRecordDataset(str(log))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    }
    assert {"epoch_mean_loss", "epoch_valid_recall@20"} <= tags


def test_refit_learns_what_only_the_validation_week_holds(make_artifacts, tmp_path):
    rng = np.random.default_rng(0)

    def sessions(prefix, items, count):
        return {f"{prefix}{n}": [f"{items}{i}" for i in rng.integers(0, 5, 4)] for n in range(count)}

    splits = {
        "train": sessions("t", "old", 60),
        "valid": {**sessions("v", "new", 20), **sessions("w", "old", 5)},
        "test": sessions("x", "new", 3),
    }
    for refit in (False, True):
        artifacts = make_artifacts(refit=refit, **splits)
        parameters = TrainParameters(**{**SMALL, "refit": refit})
        training = train_model(*artifacts, tmp_path / f"model-{refit}", tmp_path / "tensorboard", parameters)
        model = tf.saved_model.load(str(tmp_path / f"model-{refit}"))
        first, second = model.candidate(tf.constant(["new1", "never heard of"]))["embedding"].numpy()
        assert np.array_equal(first, second) != refit
        known = Vocabulary.read(artifacts[1]).encode(pa.chunked_array([["new1"]]))
        assert (known[0] > 0) == refit
    assert training.refit is not None
    assert len(training.refit.epochs) == training.selection.best_epoch
    assert training.figures["epochs"] == len(training.selection.epochs) + training.selection.best_epoch


def test_the_test_split_is_not_read(small_artifacts, tmp_path):
    events_dir, vocabulary_path = small_artifacts
    copied = tmp_path / "events"
    copied.mkdir()
    for split in ("train", "valid"):
        (copied / f"{split}.parquet").write_bytes((events_dir / f"{split}.parquet").read_bytes())
    with pytest.raises(FileNotFoundError):
        read_split(copied, "test")
    train_model(
        copied, vocabulary_path, tmp_path / "model", tmp_path / "tensorboard",
        TrainParameters(**{**SMALL, "max_epochs": 1}),
    )  # fmt: skip
    assert (tmp_path / "model" / "saved_model.pb").is_file()


def test_a_second_start_resumes_and_keeps_the_logs_of_the_first(small_artifacts, tmp_path, monkeypatch):
    def start(name):
        parameters = TrainParameters(**SMALL)
        return train_model(
            *small_artifacts, tmp_path / name, tmp_path / f"{name}-logs", parameters, checkpoint_root=tmp_path / "kept"
        )

    def fail(*args, **kwargs):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(StringModel, "save", fail)
        with pytest.raises(OSError, match="disk full"):
            start("first")
    with monkeypatch.context() as patch:
        patch.setattr(tf.keras.Model, "fit", fail)  # nothing is left to train
        second = start("second")
    assert len(second.selection.epochs) == 2
    assert list((tmp_path / "second-logs" / "selection").rglob("events.*"))
