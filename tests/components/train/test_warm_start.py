import json

import numpy as np
import pyarrow as pa
import pytest
from factories import make_events, make_vocabulary_of
from served import DETAILS

from components.core.events import write_split
from components.core.run_artifacts import TRAINING_FILE
from components.core.saved_model import read_training
from components.core.sequences import Sessions
from components.core.serving.location import open_location
from components.core.serving.manifest import TOWERS, VOCABULARY, Draft, ServingError, list_folder
from components.train.model import TwoTower
from components.train.parameters import TrainParameters
from components.train.pointer import NUM_FEATURES
from components.train.step import train_model
from components.train.string_model import save_model
from components.train.warm_start import Published
from components.vocabulary.step import make_vocabulary

OLD, NEW = ["a", "b", "c"], ["d", "b", "f", "e", "a", "g"]
SESSIONS = [["a", "d"], ["b", "d", "b"], ["c", "e", "?"], ["e"], ["f", "d", "f", "a"]]  # without c, which is gone
POINTER = [number / 8 for number in range(NUM_FEATURES)]


def make_sessions(vocabulary):
    items = pa.chunked_array([pa.array([item for session in SESSIONS for item in session])])
    return Sessions(
        session_ids=pa.array([f"s{number}" for number in range(len(SESSIONS))]),
        items=vocabulary.encode(items),
        offsets=np.cumsum([0, *map(len, SESSIONS)]),
    )


def make_model(parameters, vocabulary, seed):
    model = TwoTower(parameters, counts=vocabulary.counts, num_sessions=0)
    model.build_variables()
    rng = np.random.default_rng(seed)
    # The vectors of what follows an item are only 0 in a model that is yet to be trained, which seed 2 is.
    parts = [model.candidate_tower, model.query_tower, model.pointer]
    if seed == 1 and model.successors is not None:
        parts.append(model.successors)
    for part in parts:
        for variable in part.variables:
            variable.assign(rng.normal(size=variable.shape))
    return model


def publish(uri, model, vocabulary, folder, *, trained_until=0):
    save_model(model, item_ids=vocabulary.item_ids, session_ids=None, model_dir=folder / TOWERS)
    (folder / TOWERS / TRAINING_FILE).parent.mkdir(exist_ok=True)
    (folder / TOWERS / TRAINING_FILE).write_text(
        json.dumps({"parameters": model.parameters.to_dict(), "pointer": POINTER})
    )
    vocabulary.write(folder / VOCABULARY)
    draft = Draft(
        publication_key="a run",
        index_files={"saved_model.pb": folder / TOWERS / "saved_model.pb"},
        model_files=list_folder(folder),
        details={**DETAILS, "trained_until": trained_until},
    )
    open_location(uri).publish(draft, keep=2)


@pytest.fixture
def start_from(tmp_path):
    def start(parameters, **changed):
        old, new = make_vocabulary_of(OLD), make_vocabulary_of(NEW)
        earlier = make_model(parameters, old, seed=1)
        publish(str(tmp_path / "serving"), earlier, old, tmp_path / "made")
        parameters = TrainParameters(**{**parameters.to_dict(), **changed})
        published = Published.fetch(str(tmp_path / "serving"), tmp_path / "fetched [1]")
        assert published.manifest.version == 1
        weights = published.read(new, make_sessions(new), parameters)
        model = make_model(parameters, new, seed=2)
        random = model.candidate_tower.table.numpy()
        weights(model)
        return earlier, model, random

    return start


def check_rows(old, new, random):
    """The rows by hand: unknown, then those of NEW."""
    unknown, a, b, _ = old
    np.testing.assert_allclose(new[[0, 2, 5]], [unknown, b, a])
    # d: with a once, with b twice, with a once (the two f are new themselves).
    np.testing.assert_allclose(new[1], (2 * a + 2 * b) / 4, rtol=1e-5)
    # f stands twice in a session with one a.
    np.testing.assert_allclose(new[3], a, rtol=1e-5)
    # c is not in the new vocabulary, so nothing known stands beside e; no session holds g.
    np.testing.assert_array_equal(new[[4, 6]], random[[4, 6]])


@pytest.mark.parametrize("tower", ["gru_attention", "mean"])
def test_rows_move_to_the_new_indices_and_all_else_carries_over(start_from, tower):
    earlier, model, random = start_from(TrainParameters(query_tower=tower, embedding_dim=8))
    check_rows(earlier.candidate_tower.table.numpy(), model.candidate_tower.table.numpy(), random)
    assert len(model.query_tower.variables) == len(earlier.query_tower.variables)
    for part in ("query_tower", "pointer"):
        for found, expected in zip(getattr(model, part).variables, getattr(earlier, part).variables, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_both_tables_of_the_last_item_move(start_from):
    earlier, model, _ = start_from(TrainParameters(query_tower="last_item", embedding_dim=8))
    (old,), (new,) = earlier.query_tower.variables, model.query_tower.variables
    np.testing.assert_array_equal(new.numpy()[[0, 2, 5]], old.numpy()[[0, 2, 1]])


def test_what_follows_an_item_moves_too(start_from, monkeypatch):
    monkeypatch.setattr("components.train.successors.MIN_WEIGHT", 0.0)
    parameters = TrainParameters(query_tower="mean", embedding_dim=8, successor_half_count=1.0)
    earlier, model, _ = start_from(parameters)
    old, new = earlier.successors.table.numpy(), model.successors.table.numpy()
    np.testing.assert_array_equal(new[[0, 2, 5]], [np.zeros(8), old[2], old[1]])  # unknown, b and a
    np.testing.assert_array_equal(new[[1, 3, 4, 6]], np.zeros((4, 8)))


def test_a_model_without_successors_can_be_started_from(start_from):
    parameters = TrainParameters(query_tower="mean", embedding_dim=8, successor_half_count=0.0)
    earlier, model, random = start_from(parameters, successor_half_count=1.0)
    assert not model.successors.table.numpy().any()
    check_rows(earlier.candidate_tower.table.numpy(), model.candidate_tower.table.numpy(), random)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"embedding_dim": 16}, "Expected embedding_dim=8 for a warm start.* Received: 16. Set warm_start=false"),
        ({"pointer": False}, "Expected pointer=True for a warm start.* Received: False"),
        ({"successor_half_count": 0.0}, "Expected successor_half_count above 0 for a warm start.* Received: 0"),
    ],
)
def test_a_model_of_another_shape_is_refused(start_from, changed, message):
    with pytest.raises(ValueError, match=message):
        start_from(TrainParameters(query_tower="mean", embedding_dim=8), **changed)


def test_a_location_without_a_version_starts_from_random_weights(tmp_path):
    assert Published.fetch(str(tmp_path / "none yet"), tmp_path / "fetched") is None


def test_a_location_that_is_missing_or_damaged_is_an_error(start_from, tmp_path):
    with pytest.raises(ValueError, match="Expected serving_uri with warm_start=true"):
        Published.fetch("", tmp_path / "fetched")
    start_from(TrainParameters(query_tower="mean", embedding_dim=8))
    with (tmp_path / "serving" / "models" / "1" / VOCABULARY).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ServingError, match="The version is damaged"):
        Published.fetch(str(tmp_path / "serving"), tmp_path / "again")


# What a training that starts from a published model may still learn from its log depends on what that model has seen.
SPLIT_BEGINS = {"train": 1_000, "valid": 1_000_000, "test": 2_000_000}


@pytest.fixture
def train_after(tmp_path):
    """Trains from a model that was published after it had been trained until a time, and returns the metadata."""

    def train(trained_until, **changed):
        sessions = {f"s{number}": ["a", "b", "c", "a"] for number in range(10)}
        for split, begin in SPLIT_BEGINS.items():
            write_split(make_events(sessions, begin), tmp_path / "events", split)
        make_vocabulary(tmp_path / "events", tmp_path / "items", min_item_count=1, include_valid=True)
        small = {"query_tower": "mean", "embedding_dim": 8, "num_negatives": 16, "max_epochs": 2, "patience": 2}
        parameters = TrainParameters(**small, warm_start=True, **changed)
        old, uri = make_vocabulary_of(OLD), str(tmp_path / "serving")
        publish(uri, make_model(parameters, old, seed=1), old, tmp_path / "made", trained_until=trained_until)
        paths = (tmp_path / name for name in ("events", "items", "model", "tensorboard"))
        train_model(*paths, parameters, serving_uri=uri)
        return read_training(tmp_path / "model")

    return train


@pytest.mark.slow
def test_epochs_are_selected_on_valid_if_the_published_model_does_not_know_it(train_after):
    training = train_after(trained_until=999_999)
    assert (len(training["selection"]), training["started_from"]) == (2, 1)
    assert training["pointer"] not in (None, POINTER)
    assert training["trained_until"] == 1_009_003  # the newest event of valid


@pytest.mark.slow
@pytest.mark.parametrize("refit", [True, False])
def test_nothing_is_selected_on_what_the_published_model_was_trained_on(train_after, refit):
    training = train_after(trained_until=1_500_000, refit=refit)
    assert training["selection"] == []
    assert (len(training["refit"]), training["training"]["best_epoch"]) == (2, 2)
    assert training["pointer"] == POINTER  # fitted before the published model saw these sessions
    assert training["trained_until"] == 1_500_000  # it has learned from what the published model was trained on


def test_a_model_that_knows_test_sessions_is_no_start(train_after):
    message = "trained until before 1970-01-01 00:33:20.* Received: version 1, trained until 1970-01-01 00:33:20"
    with pytest.raises(ValueError, match=message):
        train_after(trained_until=2_000_000)


def test_a_manifest_has_to_say_until_when_the_model_was_trained(tmp_path):
    old, parameters = make_vocabulary_of(OLD), TrainParameters(query_tower="mean", embedding_dim=8)
    uri = str(tmp_path / "serving")
    publish(uri, make_model(parameters, old, seed=1), old, tmp_path / "made", trained_until=None)
    with pytest.raises(ValueError, match="Expected trained_until of version 1 in ms"):
        Published.fetch(uri, tmp_path / "fetched")
