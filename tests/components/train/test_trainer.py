import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from components.core.events import read_split
from components.core.sequences import Sessions
from components.core.vocabulary import Vocabulary
from components.train import towers, trainer
from components.train.model import TwoTower
from components.train.objectives import LOSSES
from components.train.parameters import TrainParameters
from components.train.pointer import NUM_FEATURES
from components.train.recurrent import Gru
from components.train.towers import QUERY_TOWERS

SMALL = {
    "query_tower": "mean",
    "embedding_dim": 16,
    "batch_size": 256,
    "num_negatives": 64,
    "learning_rate": 0.02,
    "max_epochs": 3,
}


@pytest.fixture(scope="module")
def data(small_artifacts):
    events_dir, vocabulary_path = small_artifacts
    vocabulary = Vocabulary.read(vocabulary_path)
    train, valid = (Sessions.encode(read_split(events_dir, split), vocabulary) for split in ("train", "valid"))
    return {"sessions": train, "valid": valid, "num_items": vocabulary.num_items}


def fit(data, checkpoint_dir, num_epochs=3, **settings):
    parameters = TrainParameters(**{**SMALL, **settings})
    return trainer.train(parameters, **data, num_epochs=num_epochs, checkpoint_dir=checkpoint_dir)


def metrics_of(history):
    clock = ("seconds", "targets_per_second")
    return [{name: value for name, value in epoch.items() if name not in clock} for epoch in history.epochs]


NUM_RING_ITEMS = 100


def walk_ring(num_sessions, seed):
    """Sessions of four items, each item followed by the next one; only who has seen sessions knows which is next."""
    first = np.random.default_rng(seed).integers(0, NUM_RING_ITEMS, num_sessions)
    items = (first[:, np.newaxis] + np.arange(4)) % NUM_RING_ITEMS + 1
    return Sessions(
        session_ids=pa.array([f"{seed}-{number}" for number in range(num_sessions)]),
        items=items.ravel().astype(np.int32),
        offsets=4 * np.arange(num_sessions + 1),
    )


RING = {"sessions": walk_ring(1_000, seed=0), "valid": walk_ring(200, seed=1), "num_items": NUM_RING_ITEMS}


def learn(checkpoint_dir, **settings):
    """Trains on the ring for two epochs: recall@10 before, the history, and the variables that stayed as they were."""
    tf.keras.utils.set_random_seed(42)
    parameters = TrainParameters(**{**SMALL, "max_epochs": 2, **settings})
    untrained = TwoTower(parameters, counts=np.ones(NUM_RING_ITEMS), num_sessions=1_000)
    untrained.build_variables()
    before = trainer.validate(untrained, RING["valid"], (10,))["recall@10"]
    model, history = trainer.train(parameters, **RING, num_epochs=2, checkpoint_dir=checkpoint_dir)
    pairs = zip(model.trainable_variables, untrained.trainable_variables, strict=True)
    return before, history, [new.name for new, old in pairs if np.array_equal(new, old)]


def assert_learned(before, history, stayed):
    # 10 of 100 items at random: 0.1. An untrained model finds as many.
    assert before < 0.2
    first, last = history.epochs
    assert last["valid_recall@10"] > 0.95
    assert last["mean_loss"] < first["mean_loss"]
    assert stayed == []


@pytest.mark.slow
@pytest.mark.parametrize("query_tower", sorted(set(QUERY_TOWERS) - {"session_id"}))
def test_every_tower_learns(tmp_path, query_tower):
    assert_learned(*learn(tmp_path, query_tower=query_tower))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(tmp_path, loss):
    # Not bounded by 1, scores give the regularisation of BPR-max something to do.
    settings = {"temperature": 0.3, "normalize": False} if loss == "bpr_max" else {}
    assert_learned(*learn(tmp_path, loss=loss, pointer=loss in ("sampled", "full"), **settings))


def test_a_session_id_learns_the_training_sessions_and_says_nothing_about_new_ones(tmp_path):
    _, history, stayed = learn(tmp_path, query_tower="session_id", loss="in_batch", pointer=False)
    first, last = history.epochs
    assert last["mean_loss"] < first["mean_loss"]
    assert stayed == []
    assert last["valid_recall@10"] < 0.2
    assert history.num_targets == len(RING["sessions"].items)


@pytest.mark.slow
def test_corrections_of_the_in_batch_loss_are_used(data, tmp_path):
    losses = [
        fit(data, tmp_path / str(number), loss="in_batch", pointer=False, num_epochs=1, **setting)[1].epochs[0][
            "mean_loss"
        ]
        for number, setting in enumerate(
            ({}, {"correct_sampling": False}, {"remove_accidental_hits": False}, {"num_hard_negatives": 8})
        )
    ]
    assert len({round(loss, 4) for loss in losses}) == 4


@pytest.mark.slow
def test_the_same_seed_gives_the_same_metrics(data, tmp_path):
    first, again, other = (
        metrics_of(fit(data, tmp_path / name, random_seed=seed, num_epochs=2)[1])
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert first != other


@pytest.fixture
def calls(monkeypatch):
    """The number of the last step of each call of the function that `fit` calls, counted from 0 in each epoch."""
    last_steps = []
    follow = trainer.TrainingProgress.follow

    def record(self, *args, **kwargs):
        callback = follow(self, *args, **kwargs)
        on_train_batch_end = callback.on_train_batch_end

        def count(batch, logs=None):
            last_steps.append(batch)
            on_train_batch_end(batch, logs)

        callback.on_train_batch_end = count
        return callback

    monkeypatch.setattr(trainer.TrainingProgress, "follow", record)
    return last_steps


def test_several_steps_in_a_call_are_the_steps_one_by_one(tmp_path, monkeypatch, calls):
    settings = {**SMALL, "min_steps_per_epoch": 0, "batch_size": 500}  # 7 steps per epoch
    trained = {}
    for steps_per_call in (1, 4):
        monkeypatch.setattr(trainer, "STEPS_PER_CALL", steps_per_call)
        folder = tmp_path / str(steps_per_call)
        model, history = trainer.train(TrainParameters(**settings), **RING, num_epochs=2, checkpoint_dir=folder)
        assert int(model.optimizer.iterations) == 14
        trained[steps_per_call] = history.epochs[1]["mean_loss"], model.embed_candidates()
    assert calls == [*range(7), *range(7), 3, 6, 3, 6]
    assert trained[4][0] == pytest.approx(trained[1][0], rel=1e-5)
    np.testing.assert_allclose(trained[4][1], trained[1][1], atol=1e-5)


def test_a_gpu_runs_one_step_in_a_call(tmp_path, monkeypatch, calls):
    monkeypatch.setattr(trainer, "has_gpu", lambda: True)
    learn(tmp_path, min_steps_per_epoch=0, batch_size=1_500, max_epochs=1)
    assert calls == [0, 1, 0, 1]


class KilledError(Exception):
    pass


@pytest.mark.slow
def test_a_killed_training_goes_on_as_if_it_had_not_been(data, tmp_path, monkeypatch):
    whole_model, whole = fit(data, tmp_path / "whole")
    validate = trainer.validate

    def validate_until_killed(*args):
        if (tmp_path / "killed" / "history.json").exists():
            raise KilledError  # at the end of epoch 2, before its checkpoint
        return validate(*args)

    monkeypatch.setattr(trainer, "validate", validate_until_killed)
    with pytest.raises(KilledError):
        fit(data, tmp_path / "killed")
    monkeypatch.setattr(trainer, "validate", validate)
    resumed_model, resumed = fit(data, tmp_path / "killed")
    assert metrics_of(resumed) == metrics_of(whole)
    np.testing.assert_array_equal(resumed_model.embed_candidates(), whole_model.embed_candidates())
    assert whole_model.pointer.trained.numpy().any()
    np.testing.assert_array_equal(resumed_model.pointer.trained, whole_model.pointer.trained)
    np.testing.assert_array_equal(resumed_model.pointer.served, whole_model.pointer.served)


def use_own_gru(units, jit_compile):
    return Gru(units)


def use_keras_gru(units, jit_compile):
    return tf.keras.layers.GRU(units, return_sequences=True)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(use_own_gru, use_keras_gru), (use_keras_gru, use_own_gru)])
def test_a_checkpoint_of_another_gru_is_refused(data, tmp_path, monkeypatch, first, second):
    monkeypatch.setattr(towers, "make_gru", first)
    fit(data, tmp_path, query_tower="gru", num_epochs=1)
    monkeypatch.setattr(towers, "make_gru", second)
    with pytest.raises(
        ValueError, match=r"The checkpoint of epoch 1 in .* does not fit this model.* Delete that folder"
    ):
        fit(data, tmp_path, query_tower="gru", num_epochs=2)


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_refused(data, tmp_path):
    others = [
        {"query_tower": "last_item"},  # a variable less; for its checkpoint, one more
        {"optimizer": "adagrad"},
        {"embedding_dim": 8},
        {"pointer": False},
    ]
    for number, settings in enumerate([{}, *others]):
        fit(data, tmp_path / str(number), num_epochs=1, **settings)
    refused = [("0", settings) for settings in others] + [(str(number), {}) for number in range(1, 5)]
    for folder, settings in refused:
        with pytest.raises(ValueError, match="does not fit this model"):
            fit(data, tmp_path / folder, num_epochs=2, **settings)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused(data, tmp_path):
    fit(data, tmp_path, num_epochs=1)
    for suffix in ("index", "data-00000-of-00001"):
        path = tmp_path / f"epoch-1.{suffix}"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match="does not fit this model"):
            fit(data, tmp_path, num_epochs=2)
        path.unlink()
        with pytest.raises(ValueError, match="does not fit this model"):
            fit(data, tmp_path, num_epochs=2)
        path.write_bytes(whole)


@pytest.mark.slow
def test_checkpoints_lie_in_a_folder_of_any_name(data, tmp_path):
    folder = tmp_path / "a [1] * 'é'"
    first = fit(data, folder, num_epochs=1)[1]
    second = fit(data, folder, num_epochs=2)[1]
    assert len(second.epochs) == 2
    assert second.epochs[0] == first.epochs[0]  # its time too: it was not trained again


@pytest.mark.slow
def test_the_model_has_the_weights_of_the_best_epoch(data, tmp_path, monkeypatch):
    # The recall is best in epoch 3, the sum in epoch 2.
    metrics = iter([(0.2, 0.1), (0.5, 0.3), (0.52, 0.2), (0.3, 0.35), (0.9, 0.9)])
    tables, pointers = [], []

    def validate(model, valid, ks):
        tables.append(model.embed_candidates().numpy())
        pointers.append(model.pointer.trained.numpy())
        model.pointer.serve(np.full(NUM_FEATURES, len(tables), np.float32))
        return dict(zip(("recall@20", "mrr@20"), next(metrics), strict=True))

    monkeypatch.setattr(trainer, "validate", validate)
    model, history = fit(data, tmp_path, num_epochs=5, max_epochs=5, patience=2)
    # Epochs 3 and 4 were no better than 2: it stops, and never sees the fifth.
    assert (len(history.epochs), history.best_epoch) == (4, 2)
    np.testing.assert_array_equal(model.embed_candidates(), tables[1])
    np.testing.assert_array_equal(model.pointer.trained, pointers[1])
    np.testing.assert_array_equal(model.pointer.served, np.full(NUM_FEATURES, 2.0))
    assert {path.name.partition(".")[0] for path in tmp_path.glob("epoch-*")} == {"epoch-2", "epoch-4"}


@pytest.mark.slow
def test_history_on_disk_is_what_train_returns(data, tmp_path):
    _, history = fit(data, tmp_path, num_epochs=1)
    assert json.loads((tmp_path / "history.json").read_text()) == vars(history)


def test_sessions_without_a_target_are_an_error(data, tmp_path):
    single = Sessions(
        session_ids=data["sessions"].session_ids[:2], items=np.array([1, 2], np.int32), offsets=np.array([0, 1, 2])
    )
    with pytest.raises(ValueError, match=r"Expected training sessions with at least two events. Received: 2 sessions"):
        fit({**data, "sessions": single}, tmp_path)
    with pytest.raises(
        ValueError, match=r"Expected validation sessions with at least two events.* Received: 2 sessions"
    ):
        fit({**data, "valid": single}, tmp_path)
    nothing = Sessions(session_ids=single.session_ids[:0], items=single.items[:0], offsets=np.array([0]))
    with pytest.raises(ValueError, match=r"Expected validation sessions .* Received: 0 sessions with 0 events in all"):
        fit({**data, "valid": nothing}, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("query_tower", "items"), [("mean", [3, 0, 0, 5, 0]), ("session_id", [0, 0, 0, 0, 0])])
def test_sessions_without_a_known_target_are_an_error(data, tmp_path, query_tower, items):
    """The first event of a session is a target of the session_id tower alone."""
    sessions = Sessions(session_ids=pa.array(["s", "t"]), items=np.array(items, np.int32), offsets=np.array([0, 3, 5]))
    settings = {"loss": "in_batch", "pointer": False} if query_tower == "session_id" else {}
    with pytest.raises(ValueError, match="Expected training sessions with a target that is in the vocabulary"):
        fit({**data, "sessions": sessions}, tmp_path, query_tower=query_tower, **settings)
    sessions.items[0], sessions.items[4] = 3, 5
    fit({**data, "sessions": sessions}, tmp_path, query_tower=query_tower, num_epochs=1, **settings)


@pytest.mark.slow
def test_without_validation_what_is_served_is_given_or_what_was_learned(data, tmp_path):
    given = np.linspace(-1.0, 1.0, NUM_FEATURES, dtype=np.float32)
    settings = {"sessions": data["sessions"], "valid": None, "num_items": data["num_items"], "num_epochs": 1}
    for name, pointer in (("given", given), ("learned", None)):
        model, _ = trainer.train(TrainParameters(**SMALL), **settings, checkpoint_dir=tmp_path / name, pointer=pointer)
        assert model.pointer.trained.numpy().any()
        np.testing.assert_array_equal(model.pointer.served, model.pointer.trained if pointer is None else given)


@pytest.mark.parametrize(
    ("num_targets", "batch_size", "min_steps", "expected"),
    [
        (1_000_000, 1024, 128, 1024),  # 977 steps
        (131_072, 1024, 128, 1024),  # exactly 128
        (131_000, 1024, 128, 1023),
        (12_800, 1024, 128, 100),
        (8_192, 1024, 128, 64),
        (100, 1024, 128, 64),  # no less, however few targets there are
        (100, 32, 128, 32),  # unless batch_size is less
        (100, 1024, 0, 1024),
        (100, 1024, 1, 100),
    ],
)
def test_small_logs_have_small_batches(num_targets, batch_size, min_steps, expected):
    parameters = TrainParameters(batch_size=batch_size, min_steps_per_epoch=min_steps)
    assert trainer.choose_batch_size(parameters, num_targets) == expected


@pytest.mark.slow
def test_an_epoch_has_the_steps_asked_for(tmp_path):
    """The ring's 3,000 targets: about 30 batches of 100, and about 12 of 256."""
    for min_steps, (lowest, highest) in ((30, (30, 34)), (0, (12, 14))):
        parameters = TrainParameters(**SMALL, min_steps_per_epoch=min_steps)
        model, _ = trainer.train(parameters, **RING, num_epochs=1, checkpoint_dir=tmp_path / str(min_steps))
        assert lowest <= int(model.optimizer.iterations) <= highest
