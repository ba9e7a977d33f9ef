"""The comparison with the published model, on models made by hand and real serving locations."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from factories import make_events
from lookup_model import save_model

from components.core.events import write_split
from components.core.ranking import NEVER
from components.core.run_artifacts import TRAINING_FILE
from components.core.serving.location import open_location
from components.core.serving.manifest import Draft, list_folder
from components.core.vocabulary import Vocabulary
from components.evaluate.step import EvaluateParameters, evaluate
from components.gate.champion_rules import judge_champion, judge_champion_metrics
from components.gate.documents import Document, Documents
from components.gate.parameters import GateParameters

ITEMS = [f"i{number}" for number in range(30)]


class Successor(tf.Module):
    """The best item is the one that `order` names after the newest item, the next best is the one after that, ..."""

    def __init__(self, order):
        super().__init__()
        self.order = tf.constant(order)
        near = -np.abs(np.arange(len(order)) - np.arange(len(order))[:, np.newaxis] - 1.0)
        self.scores = tf.constant(near, tf.float32)

    def one_hot(self, ids):
        return tf.cast(ids[:, tf.newaxis] == self.order, tf.float32)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "session_id"),
            tf.TensorSpec([None, None], tf.string, "item_ids"),
        ]
    )
    def query(self, session_id, item_ids):
        last = tf.reduce_sum(tf.cast(item_ids != "", tf.int32), axis=1) - 1
        newest = tf.gather(item_ids, last, batch_dims=1)
        embedding = self.one_hot(newest) @ self.scores
        return {"embedding": embedding, "bonus": tf.zeros_like(item_ids, tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "item_ids")])
    def candidate(self, item_ids):
        return {"embedding": self.one_hot(item_ids)}


def write_model(folder, order, *, trained_until):
    """Writes the towers and the vocabulary of the items of `order`, the first the most frequent."""
    save_model(Successor(order), folder / "model")
    path = folder / "model" / TRAINING_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "trained_until": trained_until}))
    counts = [item for number, item in enumerate(order) for _ in range(len(order) - number)]
    Vocabulary.count(pa.chunked_array([counts])).write(folder / "vocabulary.parquet")
    return folder


def publish(uri, folder, *, trained_until):
    """Publishes a model; nothing reads its index here."""
    details = {"trained_until": trained_until, "metrics": {}, "parameters": {}, "verdict": None}
    files = list_folder(folder)
    draft = Draft(
        publication_key=folder.name, index_files={"saved_model.pb": files["vocabulary.parquet"]}, model_files=files,
        details=details,
    )  # fmt: skip
    return open_location(str(uri)).publish(draft)


@pytest.fixture
def compare(tmp_path):
    """Evaluates the model `new` on test sessions that begin at 1,000, 2,000, ... ms; returns the champion's part."""

    def run(uri, sessions, new, **parameters):
        train = {f"s{number}": [item, item] for number, item in enumerate(ITEMS)}
        for split, content in (("train", make_events(train, begin=0)), ("test", make_events(sessions))):
            write_split(content, tmp_path / "events", split)
        arguments = (tmp_path / "events", new / "vocabulary.parquet", new / "model", tmp_path / "metrics.json")
        parameters = EvaluateParameters(serving_uri=str(uri), **parameters)
        document = evaluate(*arguments, parameters, ranks_path=tmp_path / "ranks.parquet")
        assert json.loads((tmp_path / "metrics.json").read_text()) == document
        return document

    return run


def judge(document, **parameters):
    """What the gate's rules about the champion say."""
    nothing = Document(name="nothing", error="not read")
    documents = Documents(metrics=Document(name="metrics.json", content=document), index_check=nothing, report=nothing)
    rules = (judge_champion, judge_champion_metrics)
    return [each.verdict for rule in rules for each in rule(documents, GateParameters(**parameters))]


SESSIONS = {f"t{number}": [ITEMS[number], ITEMS[number + 1], ITEMS[number - 3]] for number in range(10)}


@pytest.mark.parametrize("max_test_targets", [0, 7])
def test_the_champion_itself_differs_by_exactly_nothing(compare, tmp_path, max_test_targets):
    model = write_model(tmp_path / "a", ITEMS, trained_until=500)
    publish(tmp_path / "serving", model, trained_until=500)
    document = compare(tmp_path / "serving", SESSIONS, model, max_test_targets=max_test_targets)
    champion = document["champion"]
    assert (champion["status"], champion["version"], champion["trained_until"]) == ("compared", 1, 500)
    assert champion["num_targets"] == document["num_targets"] == (6 if max_test_targets else 20)
    assert champion["model"] == champion["champion"]
    assert champion["model"]["recall@20"] == document["model"]["recall@20"]
    assert champion["ahead"] == {"recall@20": [0.0, 0.0], "mrr@20": [0.0, 0.0]}
    assert judge(document, gate_min_targets=5) == ["passes", "passes", "passes"]


def test_by_hand(compare, tmp_path):
    # The champion knows no `new`, and another order of its items; its vocabulary has other indices.
    champion = write_model(tmp_path / "old", ["c", "a", "d", "b"], trained_until=500)
    model = write_model(tmp_path / "fresh", ["a", "b", "new"], trained_until=900)
    publish(tmp_path / "serving", champion, trained_until=500)
    # a -> b: the model ranks b first. The champion's scores after a: d 0, a and b -1, c -2, so b ties for rank 3.
    # a -> new: rank 2 for the model (b 0, a and new -1: 3 with the tie). A miss for the champion.
    # d -> c: d is unknown to the model, c too: a miss. The champion's scores after d: b 0, d -1, a -2, c -3: rank 4.
    document = compare(tmp_path / "serving", {"t1": ["a", "b"], "t2": ["a", "new"], "t3": ["d", "c"]}, model)
    found = document["champion"]
    assert found["num_targets"] == 3
    assert found["model"]["mrr@20"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert found["champion"]["mrr@20"] == pytest.approx((1 / 3 + 0 + 1 / 4) / 3)
    assert found["model"]["recall@20"] == found["champion"]["recall@20"] == pytest.approx(2 / 3)
    ranks = pq.read_table(tmp_path / "ranks.parquet")
    assert ranks["model"].to_pylist() == [1, 3, NEVER]
    assert ranks["champion"].to_pylist() == [3, NEVER, 4]
    low, high = found["ahead"]["mrr@20"]
    # The difference of each session is 2/3, 1/3 or -1/4; resamples of three sessions reach the extremes.
    assert low == pytest.approx(-1 / 4, abs=0.2)
    assert high == pytest.approx(2 / 3, abs=0.2)
    assert low < (2 / 3 + 1 / 3 - 1 / 4) / 3 < high


def test_only_sessions_that_begin_after_the_champions_training_data_count(compare, tmp_path):
    model = write_model(tmp_path / "a", ITEMS, trained_until=500)
    publish(tmp_path / "serving", model, trained_until=8_000)  # the eighth session begins then, and does not count
    document = compare(tmp_path / "serving", SESSIONS, model)
    champion = document["champion"]
    assert (champion["status"], champion["num_targets"]) == ("compared", 4)
    ranks = pq.read_table(tmp_path / "ranks.parquet")
    assert ranks["champion"].to_pylist() == [None] * 16 + ranks["model"].to_pylist()[16:]
    assert judge(document) == ["refuses", "passes", "passes"]
    assert judge(document, gate_baselines_alone=True) == ["does not apply", "does not apply"]


def test_a_champion_that_saw_the_whole_test_split(compare, tmp_path):
    model = write_model(tmp_path / "a", ITEMS, trained_until=500)
    publish(tmp_path / "serving", model, trained_until=99_000)
    document = compare(tmp_path / "serving", SESSIONS, model)
    champion = document["champion"]
    assert (champion["status"], champion["num_targets"], champion["version"]) == ("too_few_targets", 0, 1)
    assert champion["reason"]
    assert judge(document)[0] == "refuses"


@pytest.mark.parametrize("create", [False, True])
def test_a_location_without_a_version_has_no_champion(compare, tmp_path, create):
    model = write_model(tmp_path / "a", ITEMS, trained_until=500)
    if create:
        (tmp_path / "serving").mkdir()
    document = compare(tmp_path / "serving", SESSIONS, model)
    assert document["champion"].keys() == {"status", "reason"}
    assert document["champion"]["status"] == "none"
    assert judge(document) == ["does not apply", "does not apply"]


def damage_manifest(uri):
    (uri / "1" / "manifest.json").write_text("{")


def damage_vocabulary(uri):
    (uri / "models" / "1" / "vocabulary.parquet").write_bytes(b"PAR1")


def lose_towers(uri):
    (uri / "models" / "1" / "model" / "saved_model.pb").unlink()


def forget_time(uri):
    path = uri / "1" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "trained_until": None}))


@pytest.mark.parametrize("damage", [damage_manifest, damage_vocabulary, lose_towers, forget_time])
def test_a_damaged_champion_is_no_first_run(compare, tmp_path, damage):
    model = write_model(tmp_path / "a", ITEMS, trained_until=500)
    publish(tmp_path / "serving", model, trained_until=500)
    damage(tmp_path / "serving")
    document = compare(tmp_path / "serving", SESSIONS, model)
    assert document["champion"].keys() == {"status", "reason"}
    assert document["champion"]["status"] == "unreadable"
    assert judge(document)[0] == "refuses"


def test_a_location_that_cannot_be_listed_is_no_first_run(compare, tmp_path, monkeypatch):
    model = write_model(tmp_path / "a", ITEMS, trained_until=500)
    (tmp_path / "file").touch()
    assert compare(tmp_path / "file", SESSIONS, model)["champion"]["status"] == "unreadable"
    assert compare("", SESSIONS, model)["champion"]["status"] == "unreadable"


def test_an_address_that_is_none_is_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="Received: 'http://shop'"):
        EvaluateParameters(serving_uri="http://shop")
