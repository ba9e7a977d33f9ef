import base64
import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from factories import HOSTILE_IDS, make_hostile_id

from components.core.events import read_split
from components.core.run_artifacts import TRAINING_FILE
from components.core.vocabulary import Vocabulary
from components.train import distribution, step, string_model
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
def trained(hostile_artifacts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained [1]")
    parameters = TrainParameters(**SMALL, successor_half_count=0.0)  # so that a query is what the tower returns
    train_model(*hostile_artifacts, folder / "model", folder / "tensorboard", parameters)
    return folder


@pytest.fixture(scope="module")
def model(trained):
    # Where the path has no brackets, which TensorFlow reads as a glob.
    link = trained.parent / "trained-link"
    link.symlink_to(trained)
    return tf.saved_model.load(str(link / "model"))


def query(model, *sessions):
    ids = tf.ragged.constant(list(sessions), dtype=tf.string, ragged_rank=1).to_tensor("")
    return model.query(tf.fill([len(sessions)], ""), ids)["embedding"].numpy()


@pytest.mark.slow
def test_padding_may_stand_anywhere(model):
    one, two = make_hostile_id(30), make_hostile_id(75)
    alone = query(model, [one, two])
    padded = query(model, ["", one, "", two, ""])
    np.testing.assert_allclose(alone, padded, rtol=1e-5)


def test_only_the_newest_items_are_read(model):
    tail, other = [make_hostile_id(number) for number in range(8)], make_hostile_id(50)
    np.testing.assert_allclose(query(model, tail), query(model, [other, other, *tail]), rtol=1e-5)
    assert not np.allclose(query(model, tail), query(model, [other, *tail[1:]]))


def test_unknown_items_and_empty_sessions_have_an_embedding(model):
    embeddings = query(model, ["nothing"], [], [make_hostile_id(1), "nothing"])
    assert np.isfinite(embeddings).all()
    np.testing.assert_allclose(embeddings[0], embeddings[1], rtol=1e-5)
    assert not np.allclose(embeddings[0], embeddings[2])


def test_each_id_has_its_own_candidate_and_query(model, hostile_artifacts):
    ids = Vocabulary.read(hostile_artifacts[1]).item_ids.to_pylist()
    assert set(HOSTILE_IDS) <= set(ids)
    candidates = model.candidate(tf.constant(ids))["embedding"].numpy()
    table = model.model.candidate_tower.table.numpy()  # row 0 unknown, then the vocabulary in its order
    unit_vectors = table / np.linalg.norm(table, axis=1, keepdims=True)
    np.testing.assert_allclose(candidates[:, :-1], unit_vectors[1:], rtol=1e-4)
    # Of one item the mean tower makes the item's own embedding.
    np.testing.assert_allclose(query(model, *([each] for each in ids))[:, :-1], unit_vectors[1:], rtol=1e-4)
    unknown = ["nothing", "ends in CR\r\r", "two", "lines", "\r\n", "creme", "plain\0", "cGxhaW4"]
    embeddings = model.candidate(tf.constant(unknown))["embedding"].numpy()
    np.testing.assert_allclose(embeddings[:, :-1], np.tile(unit_vectors[0], (len(unknown), 1)), rtol=1e-4)


@pytest.mark.slow
def test_a_saved_lookup_that_does_not_give_each_id_its_index_fails_the_step(make_artifacts, tmp_path, monkeypatch):
    """Without an encoding the lines of the table's file are the ids, and TensorFlow drops a carriage return."""
    sessions = {"s": ["a", "b\r", "a", "b\r"]}
    artifacts = make_artifacts(train=sessions, valid=sessions)
    monkeypatch.setattr(string_model.tf.io, "encode_base64", tf.identity)
    with pytest.raises(RuntimeError, match=r"own index.* Expected 2 for the id 'b\\r'\. Received: 0"):
        train_model(*artifacts, tmp_path / "model", tmp_path / "logs", TrainParameters(**{**SMALL, "max_epochs": 1}))
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "query_tower",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "attention" else [])
        for name in ("session_id", "mean", "attention")
    ],
)
def test_only_the_session_id_tower_ships_session_ids(make_artifacts, tmp_path, query_tower):
    session_ids = [f"visitor {number} of Zürich\r\n" for number in range(10_000, 10_020)]
    sessions = {each: ["a", "b", "c"] for each in session_ids}
    artifacts = make_artifacts(refit=True, train=sessions, valid={f"valid {each}": ["a", "b"] for each in session_ids})
    settings = {**SMALL, "query_tower": query_tower, "max_epochs": 1, "refit": True}
    if query_tower == "session_id":
        settings |= {"loss": "in_batch", "pointer": False}
    train_model(*artifacts, tmp_path / "model", tmp_path / "logs", TrainParameters(**settings))
    files = [path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file()]

    def is_held(text):
        return any(form in file for file in files for form in (text.encode(), base64.urlsafe_b64encode(text.encode())))

    def is_held_encoded(text):
        return any(base64.urlsafe_b64encode(text.encode()).rstrip(b"=") in file for file in files)

    held = [each for each in session_ids if is_held(each.strip()) or is_held_encoded(each)]
    assert held == (session_ids if query_tower == "session_id" else [])
    model = tf.saved_model.load(str(tmp_path / "model"))
    items = tf.constant([["a"]] * 3)
    queries = model.query(tf.constant([session_ids[0], session_ids[1], "never seen"]), items)["embedding"].numpy()
    assert len(np.unique(queries.round(5), axis=0)) == (3 if query_tower == "session_id" else 1)


def test_training_file_tells_what_was_done(trained):
    document = json.loads((trained / "model" / TRAINING_FILE).read_text())
    assert document["parameters"]["max_epochs"] == 2
    assert document["training"]["epochs"] == len(document["selection"]) == 2
    assert document["training"]["targets_per_second"] > 0
    assert document["training"]["peak_memory_bytes"] > 1 << 20
    assert document["refit"] == []
    assert document["checkpoint_dir"] == ""


def test_tensorboard_logs_hold_the_validation_metrics(trained):
    (log,) = (trained / "tensorboard" / "selection" / "train").glob("events.*")
    tags = {
        value.tag
        for record in tf.data.TFRecordDataset(str(log))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    }
    assert {"epoch_mean_loss", "epoch_valid_recall@20"} <= tags


@pytest.mark.slow
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


@pytest.fixture
def fits(monkeypatch):
    """The first epoch of each call of Keras' `fit`, counted from 0."""
    first_epochs = []
    fit = tf.keras.Model.fit

    def record(*args, initial_epoch, **kwargs):
        first_epochs.append(initial_epoch)
        return fit(*args, initial_epoch=initial_epoch, **kwargs)

    monkeypatch.setattr(tf.keras.Model, "fit", record)
    return first_epochs


@pytest.mark.slow
def test_with_one_epoch_there_is_nothing_to_select_and_refit_trains_once(make_artifacts, tmp_path, fits):
    train = {f"s{number}": ["a", "b", "c", "a"] for number in range(10)}
    # Not even a target to select an epoch on; the refit reads both splits all the same.
    artifacts = make_artifacts(refit=True, train=train, valid={"v": ["new"]})
    parameters = TrainParameters(**{**SMALL, "max_epochs": 1, "refit": True})
    training = train_model(*artifacts, tmp_path / "model", tmp_path / "logs", parameters)
    assert fits == [0]
    document = json.loads((tmp_path / "model" / TRAINING_FILE).read_text())
    assert document["selection"] == []
    assert [set(epoch) for epoch in document["refit"]] == [{"mean_loss", "seconds", "targets_per_second"}]
    assert document["training"] == training.figures
    assert training.figures["epochs"] == training.figures["best_epoch"] == 1
    assert training.figures["targets_per_second"] == pytest.approx(30 / document["refit"][0]["seconds"])
    assert [path.name for path in (tmp_path / "logs").iterdir() if path.is_dir()] == ["refit"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"query_tower": "bert"}, "Expected query_tower to be one of session_id, .* Received: 'bert'"),
        ({"loss": "hinge"}, "Expected loss to be one of in_batch, .* Received: 'hinge'"),
        ({"query_tower": "attention", "embedding_dim": 9}, "Expected embedding_dim to be a multiple of 2, the heads"),
    ],
)
def test_what_a_tower_or_a_loss_does_not_take_is_refused_before_data_is_read(tmp_path, setting, message):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(ValueError, match=message):
        train_model(nowhere, nowhere, nowhere, nowhere, TrainParameters(**setting))


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_second_start_resumes_and_keeps_the_logs_of_the_first(small_artifacts, tmp_path, monkeypatch, fits):
    def start(name):
        parameters = TrainParameters(**SMALL)
        return train_model(
            *small_artifacts, tmp_path / name, tmp_path / f"{name}-logs", parameters, checkpoint_root=tmp_path / "kept"
        )

    def fail(*args, **kwargs):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(step, "save_model", fail)
        with pytest.raises(OSError, match="disk full"):
            start("first")
    second = start("second")
    assert fits == [0]  # nothing was left to train
    assert len(second.selection.epochs) == 2
    assert list((tmp_path / "second-logs" / "selection").rglob("events.*"))
    document = json.loads((tmp_path / "second" / TRAINING_FILE).read_text())
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [document["checkpoint_dir"]]
    fitted = fitted_pointer(tmp_path / "kept" / document["checkpoint_dir"], second)
    assert fitted.any()
    np.testing.assert_array_equal(served_pointer(tmp_path / "second"), fitted)


def fitted_pointer(checkpoints, training):
    """What the selection fitted to the validation sessions, in the best epoch."""
    reader = tf.train.load_checkpoint(str(checkpoints / "selection" / f"epoch-{training.selection.best_epoch}"))
    return reader.get_tensor("pointer/served_pointer/.ATTRIBUTES/VARIABLE_VALUE")


def served_pointer(model_dir):
    return tf.saved_model.load(str(model_dir)).model.pointer.served.numpy()


@pytest.mark.slow
def test_the_refit_serves_what_the_selection_fitted(make_artifacts, tmp_path):
    rng = np.random.default_rng(0)
    splits = {
        split: {f"{split}{number}": [f"i{each}" for each in rng.integers(0, 9, 6)] for number in range(40)}
        for split in ("train", "valid")
    }
    artifacts = make_artifacts(refit=True, **splits)
    parameters = TrainParameters(**{**SMALL, "refit": True})
    training = train_model(
        *artifacts, tmp_path / "model", tmp_path / "logs", parameters, checkpoint_root=tmp_path / "kept"
    )
    [checkpoints] = (tmp_path / "kept").iterdir()
    fitted = fitted_pointer(checkpoints, training)
    np.testing.assert_array_equal(served_pointer(tmp_path / "model"), fitted)
    model = tf.saved_model.load(str(tmp_path / "model"))
    assert not np.allclose(model.model.pointer.trained, fitted)
    assert (model.query(tf.constant([""]), tf.constant([["i1", "i2", "i1"]]))["bonus"].numpy() != 0).tolist() == [
        [False, True, True]
    ]


@pytest.mark.slow
def test_without_a_pointer_the_saved_model_has_no_bonus(make_artifacts, tmp_path):
    sessions = {f"s{number}": ["a", "b", "c", "a"] for number in range(10)}
    artifacts = make_artifacts(train=sessions, valid=sessions)
    parameters = TrainParameters(**{**SMALL, "max_epochs": 1, "pointer": False})
    train_model(*artifacts, tmp_path / "model", tmp_path / "logs", parameters)
    model = tf.saved_model.load(str(tmp_path / "model"))
    bonus = model.query(tf.fill([2], ""), tf.constant([["a", "", "new", "a"], ["", "", "", ""]]))["bonus"].numpy()
    assert bonus.shape == (2, 4)
    assert not bonus.any()


def use_other_sources(monkeypatch):
    monkeypatch.setattr(step, "hash_sources", lambda: "0123456789ab")


def use_other_tensorflow(monkeypatch):
    monkeypatch.setattr(distribution.tf, "__version__", "2.99.0")


def use_gpu(monkeypatch):
    monkeypatch.setattr(distribution.tf.config, "list_physical_devices", lambda kind=None: [kind])


@pytest.mark.slow
def test_another_version_or_device_starts_anew(make_artifacts, tmp_path, monkeypatch, fits):
    sessions = {f"s{number}": ["a", "b", "c", "a"] for number in range(10)}
    artifacts = make_artifacts(train=sessions, valid=sessions)
    parameters = TrainParameters(**{**SMALL, "pointer": False, "max_epochs": 1})

    def start():
        training = train_model(
            *artifacts, tmp_path / "model", tmp_path / "logs", parameters, checkpoint_root=tmp_path / "kept"
        )
        assert len(training.selection.epochs) == 1

    start()
    for number, change in enumerate([use_other_sources, use_other_tensorflow, use_gpu], 2):
        with monkeypatch.context() as patch:
            change(patch)
            start()
        assert fits == [0] * number
    start()
    assert fits == [0] * 4  # the first one's checkpoint is still its own
