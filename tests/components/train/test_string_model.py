"""The bonus of the SavedModel's `query`, against the model that it was made of."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from components.train.model import TwoTower
from components.train.parameters import TrainParameters
from components.train.pointer import NUM_FEATURES
from components.train.string_model import save_model

ITEM_IDS = [f"i{number}" for number in range(1, 8)]
MAX_LENGTH = 4


def make(pointer, tower="gru_attention"):
    tf.keras.utils.set_random_seed(0)
    parameters = TrainParameters(query_tower=tower, embedding_dim=8, max_session_length=MAX_LENGTH, pointer=pointer)
    trend = np.linspace(-0.5, 0.5, len(ITEM_IDS), dtype=np.float32)
    model = TwoTower(parameters, counts=np.arange(7, 0, -1), num_sessions=1, trend=trend)
    model.build_variables()
    if pointer:
        model.pointer.serve(np.random.default_rng(0).normal(size=NUM_FEATURES).astype(np.float32))
    return model


@pytest.fixture(scope="module", params=[True, False], ids=["pointer", "none"])
def both(request, tmp_path_factory):
    model = make(request.param)
    path = tmp_path_factory.mktemp("saved") / "model"
    save_model(model, item_ids=pa.array(ITEM_IDS), session_ids=None, model_dir=path)
    return model, tf.saved_model.load(str(path))


def ask_one(model, row):
    """What the model says about one session of strings, with the bonuses at the places of the strings."""
    places = [place for place, item_id in enumerate(row) if item_id][-MAX_LENGTH:]
    items = [ITEM_IDS.index(row[place]) + 1 if row[place] in ITEM_IDS else 0 for place in places]
    query, bonus = model.query(tf.zeros(1, tf.int32), tf.constant([items or [0]]))
    bonuses = np.zeros(len(row), np.float32)
    for place, item, more in zip(places, items, bonus.numpy()[0], strict=False):
        is_newest = item > 0 and item not in items[places.index(place) + 1 :]
        assert (more != 0) == (is_newest and model.pointer is not None)
        bonuses[place] = more
    return query.numpy()[0], bonuses


ROWS = [
    ["i1", "i2", "i1", "", "", "", ""],
    ["", "i3", "", "", "i3", "", "i5"],  # padding anywhere, and a repeat
    ["i1", "i2", "i3", "i4", "i5", "i6", "i1"],  # more than the model reads; i1 stands before that too
    ["i7", "i7", "i7", "i7", "i7", "i7", "i7"],
    ["i2", "new", "i4", "other", "new", "", "i2"],
    ["new", "", "", "", "", "", ""],
    ["", "", "", "", "", "", ""],
    ["i6", "i6", "", "new", "new", "new", "new"],  # nothing known is read
    ["", "", "", "", "", "", "i4"],
]


@pytest.mark.slow
def test_the_bonuses_stand_at_the_places_of_the_input(both):
    model, saved = both
    answer = saved.query(tf.fill([len(ROWS)], ""), tf.constant(ROWS))
    expected = [ask_one(model, row) for row in ROWS]
    np.testing.assert_allclose(answer["embedding"], [query for query, _ in expected], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(answer["bonus"], [bonus for _, bonus in expected], rtol=1e-4, atol=1e-6)


def test_random_sessions_too(both):
    model, saved = both
    rows = np.random.default_rng(0).choice([*ITEM_IDS, "new", "", ""], (50, 9)).tolist()
    answer = saved.query(tf.fill([50], ""), tf.constant(rows))
    for number, row in enumerate(rows):
        query, bonus = ask_one(model, row)
        np.testing.assert_allclose(answer["embedding"][number], query, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(answer["bonus"][number], bonus, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3), (0, 0), (2, 0)])
def test_a_request_may_be_empty(both, shape):
    _, saved = both
    answer = saved.query(tf.fill(shape[:1], ""), tf.zeros(shape, tf.string))
    assert answer["bonus"].shape == shape
    assert answer["embedding"].shape == (shape[0], 9)
