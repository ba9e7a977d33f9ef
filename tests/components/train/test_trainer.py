import json

import numpy as np
import pytest

from components.core.events import read_split
from components.core.sequences import Sessions
from components.core.vocabulary import Vocabulary
from components.train import trainer
from components.train.parameters import LOSSES, QUERY_TOWERS, TrainParameters

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


@pytest.mark.parametrize("query_tower", sorted(set(QUERY_TOWERS) - {"session_id"}))
def test_every_tower_learns(data, tmp_path, query_tower):
    _, history = fit(data, tmp_path, query_tower=query_tower)
    # 10 items of about 200 at random: 0.05.
    assert max(epoch["valid_recall@10"] for epoch in history.epochs) > 0.2


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(data, tmp_path, loss):
    settings = {"temperature": 0.3} if loss == "bpr_max" else {}
    _, history = fit(data, tmp_path, loss=loss, **settings)
    assert max(epoch["valid_recall@10"] for epoch in history.epochs) > 0.2
    assert history.epochs[-1]["mean_loss"] < history.epochs[0]["mean_loss"]


def test_a_session_id_says_nothing_about_new_sessions(data, tmp_path):
    _, history = fit(data, tmp_path, query_tower="session_id", loss="in_batch", num_epochs=2)
    assert history.epochs[-1]["valid_recall@10"] < 0.2
    assert history.num_targets == len(data["sessions"].items)


def test_corrections_of_the_in_batch_loss_are_used(data, tmp_path):
    losses = [
        fit(data, tmp_path / str(number), loss="in_batch", num_epochs=1, **setting)[1].epochs[0]["mean_loss"]
        for number, setting in enumerate(
            ({}, {"correct_sampling": False}, {"remove_accidental_hits": False}, {"num_hard_negatives": 8})
        )
    ]
    assert len({round(loss, 4) for loss in losses}) == 4


def test_the_same_seed_gives_the_same_metrics(data, tmp_path):
    first, again, other = (
        metrics_of(fit(data, tmp_path / name, random_seed=seed, num_epochs=2)[1])
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert first != other


class KilledError(Exception):
    pass


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


def test_the_model_has_the_weights_of_the_best_epoch(data, tmp_path, monkeypatch):
    recalls = iter([0.2, 0.5, 0.4, 0.3, 0.9])
    tables = []

    def validate(model, valid, ks):
        tables.append(model.embed_candidates().numpy())
        return {"recall@20": next(recalls)}

    monkeypatch.setattr(trainer, "validate", validate)
    model, history = fit(data, tmp_path, num_epochs=5, max_epochs=5, patience=2)
    # Epochs 3 and 4 were no better than 2: it stops, and never sees the fifth.
    assert (len(history.epochs), history.best_epoch) == (4, 2)
    np.testing.assert_array_equal(model.embed_candidates(), tables[1])
    assert {path.name.partition(".")[0] for path in tmp_path.glob("epoch-*")} == {"epoch-2", "epoch-4"}


def test_history_on_disk_is_what_train_returns(data, tmp_path):
    _, history = fit(data, tmp_path, num_epochs=1)
    assert json.loads((tmp_path / "history.json").read_text()) == vars(history)


def test_sessions_without_a_target_are_an_error(data, tmp_path):
    single = Sessions(
        session_ids=data["sessions"].session_ids[:2], items=np.array([1, 2], np.int32), offsets=np.array([0, 1, 2])
    )
    with pytest.raises(ValueError, match=r"Expected training sessions with at least two events. Received: 2 sessions"):
        fit({**data, "sessions": single}, tmp_path)
