import json
from hashlib import blake2b, sha256

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from factories import HOSTILE_IDS
from lookup_model import LookupModel, save_model

from components.core.events import SPLITS, read_split
from components.core.intake.acceptance import ERRORS, Acceptance
from components.core.logs.columns import LogForm
from components.core.model_scores import PADDING_ID, UNKNOWN_ID
from components.core.ranking import NEVER
from components.evaluate.step import EvaluateParameters, evaluate
from components.ingest.step import IngestParameters, ingest


class LastItem(tf.Module):
    """A model made by hand: the query is the newest item's one-hot vector, and so is each candidate.

    The session's earlier items get a bonus of 3/4, each once.
    """

    def __init__(self, item_ids):
        super().__init__()
        self.item_ids = tf.constant(item_ids)

    def one_hot(self, ids):
        return tf.cast(ids[:, tf.newaxis] == self.item_ids, tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.string)])
    def query(self, session_id, item_ids):
        last = tf.reduce_sum(tf.cast(item_ids != "", tf.int32), axis=1) - 1
        newest = tf.gather(item_ids, last, batch_dims=1)
        place = tf.range(tf.shape(item_ids)[1])
        same = item_ids[:, :, tf.newaxis] == item_ids[:, tf.newaxis, :]
        is_last_of_item = ~tf.reduce_any(same & (place[:, tf.newaxis] < place), axis=2)
        is_known = tf.reduce_any(item_ids[:, :, tf.newaxis] == self.item_ids, axis=2)
        is_earlier = is_last_of_item & is_known & (item_ids != newest[:, tf.newaxis])
        return {"embedding": self.one_hot(newest), "bonus": tf.where(is_earlier, 0.75, 0.0)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def candidate(self, item_ids):
        return {"embedding": self.one_hot(item_ids)}


@pytest.fixture
def document(make_artifacts, tmp_path):
    def run(test_sessions, **parameters):
        train = {"s1": ["a", "b", "a", "c"], "s2": ["a", "d", "b"]}  # a 3, b 2, c 1, d 1
        artifacts = make_artifacts(train=train, valid=train, test=test_sessions)
        model_dir = tmp_path / f"model-{len(list(tmp_path.iterdir()))}"
        save_model(LastItem(["a", "b", "c", "d"]), model_dir)
        path = tmp_path / "metrics.json"
        parameters = EvaluateParameters(evaluate_ks=(1, 2, 4), **parameters)
        made = evaluate(*artifacts, model_dir, path, parameters, ranks_path=tmp_path / "ranks.parquet")
        assert json.loads(path.read_text()) == made
        return made

    return run


def test_by_hand(document):
    made = document({"s1": ["a", "a", "b"], "t2": ["c", "c"]})
    # Targets: a after a (rank 1), b after a (score 0, tied with c and d: rank 4), c after c (rank 1).
    assert (made["num_targets"], made["num_unknown_targets"]) == (3, 0)
    assert made["num_sessions"] == 2
    assert made["model"]["recall@1"] == pytest.approx(2 / 3)
    assert made["model"]["mrr@4"] == pytest.approx((1 + 1 / 4 + 1) / 3)
    # Popularity ranks a 1, b 2, and c and d, which tie, 4.
    assert made["baselines"]["popularity"]["recall@1"] == pytest.approx(1 / 3)
    assert made["baselines"]["popularity"]["mrr@4"] == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)
    assert {"session_popularity", "markov", "sequential_rules", "item_knn", "v_sknn", "stan"} < set(made["baselines"])
    assert {name: group["num_targets"] for name, group in made["by_repeat"].items()} == {"repeats": 2, "others": 1}
    assert made["by_repeat"]["repeats"]["mrr@20"] == 1.0
    assert made["by_repeat"]["others"]["mrr@20"] == pytest.approx(1 / 4)
    assert made["by_prefix_length"]["1"]["num_targets"] == 2
    assert made["by_prefix_length"]["2"]["recall@20"] == 1.0
    # a has 3 of 7 events, b 2, c and d 1: a begins in the first third, b in the second, c and d in the last.
    assert {name: group["num_targets"] for name, group in made["by_target_popularity"].items()} == {
        "head": 1, "torso": 1, "tail": 1,
    }  # fmt: skip


def test_the_metrics_say_of_which_events_they_are(document, tmp_path):
    origin = document({"s1": ["a", "b"]})["origin"]
    assert origin["tensorflow"] == tf.__version__
    assert origin["events"] == {
        split: sha256((tmp_path / "events" / f"{split}.parquet").read_bytes()).hexdigest() for split in SPLITS
    }


def test_the_ranks_are_those_of_the_metrics(document, tmp_path):
    made = document({"s1": ["a", "a", "b"], "t2": ["c", "new"]})
    ranks = pq.read_table(tmp_path / "ranks.parquet").to_pydict()
    # The first 8 bytes of BLAKE2b, read as a little-endian integer, from Python's own hashlib.
    s1, t2 = (int.from_bytes(blake2b(text, digest_size=8).digest(), "little", signed=True) for text in (b"s1", b"t2"))
    assert ranks.pop("session") == [s1, s1, t2]
    assert ranks.pop("position") == [1, 2, 1]
    assert ranks.pop("champion") == [None, None, None]
    assert ranks["model"] == [1, 4, NEVER]
    summaries = {"model": made["model"], **made["baselines"]}
    assert ranks.keys() == summaries.keys()
    for name, each in ranks.items():
        assert summaries[name]["recall@2"] == pytest.approx(sum(rank <= 2 for rank in each) / 3)
        assert summaries[name]["mrr@4"] == pytest.approx(sum(1 / rank for rank in each if rank <= 4) / 3)


def test_an_unknown_target_is_a_miss_and_left_out_beside(document):
    made = document({"t": ["a", "new", "b", "b"]})
    # new after a: missed. b after a, new: a has its bonus, and the other items tie at rank 4. b after b: 1.
    assert (made["num_targets"], made["num_unknown_targets"]) == (3, 1)
    assert made["model"]["mrr@4"] == pytest.approx((0 + 1 / 4 + 1) / 3)
    assert made["known_targets"]["model"]["mrr@4"] == pytest.approx((1 / 4 + 1) / 2)


def test_the_bonus_counts(document):
    made = document({"t": ["a", "b", "a", "c", "b"]})
    # b after a: 0, tied with c and d. a after a, b: 0.75 behind b. c after a, b, a: 0, tied with d. b: 0.75, as has a,
    # behind c.
    assert made["model"]["mrr@4"] == pytest.approx((1 / 4 + 1 / 2 + 1 / 4 + 1 / 3) / 4)
    assert made["by_repeat"]["repeats"]["mrr@20"] == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_after_nothing_known_items_are_ranked_by_popularity(document):
    made = document({"t": ["new", "c"], "u": ["new", "other", "b"]})
    # c after new: a, b, c, d by popularity, so rank 3. other: missed. b after new, other: rank 2.
    assert made["model"]["mrr@4"] == pytest.approx((1 / 3 + 0 + 1 / 2) / 3)


def test_a_repeat_is_of_a_known_item_in_the_same_session(document):
    made = document({"t": ["a", "new", "new", "b"], "u": ["b", "a"]})
    # new is unknown; b has been in t, not in u; a likewise.
    assert {name: group["num_targets"] for name, group in made["by_repeat"].items()} == {"others": 4}


def test_min_prefix(document):
    made = document({"t": ["a", "a", "b", "b"]}, min_prefix=3)
    assert made["num_targets"] == 1
    assert made["model"]["recall@1"] == 1.0


def test_whole_sessions_are_drawn(document):
    sessions = {f"t{number}": ["a", "a", "b"] for number in range(5)}
    made = document(sessions, max_test_targets=5)
    assert (made["num_targets"], made["num_targets_in_split"], made["num_sessions"]) == (4, 10, 2)
    everything = document(sessions, max_test_targets=0)
    assert (everything["num_targets"], everything["num_targets_in_split"]) == (10, 10)


def test_nothing_to_score_says_so(document):
    with pytest.raises(ValueError, match=r"Expected test sessions with at least 4 events. Received: 1 sessions"):
        document({"t": ["a", "b"]}, min_prefix=3)


@pytest.mark.parametrize(
    "setting", [{"evaluate_ks": []}, {"evaluate_ks": [0]}, {"min_prefix": 0}, {"max_test_targets": -1}]
)
def test_parameters_are_checked(setting):
    with pytest.raises(ValueError, match=f"Expected {next(iter(setting))}"):
        EvaluateParameters(**setting)


def test_metrics_are_numbers_even_without_known_targets(document):
    made = document({"t": ["a", "new"]})
    assert np.isfinite(list(made["model"].values())).all()
    assert made["known_targets"] == {"model": {}, "baselines": {}}


def test_every_id_reaches_the_model(make_artifacts, tmp_path):
    train = {f"s{number}": [item_id, item_id] for number, item_id in enumerate(HOSTILE_IDS)}
    artifacts = make_artifacts(train=train, valid=train, test=train)
    save_model(LookupModel(HOSTILE_IDS), tmp_path / "model")
    document = evaluate(
        *artifacts, tmp_path / "model", tmp_path / "metrics.json", EvaluateParameters(evaluate_ks=(1, 2))
    )
    assert (document["num_targets"], document["num_unknown_targets"]) == (len(HOSTILE_IDS), 0)
    assert document["model"]["recall@1"] == 1.0  # the query is the item's own vector
    assert document["baselines"]["session_popularity"]["recall@1"] == 1.0
    assert json.loads((tmp_path / "metrics.json").read_text()) == document


@pytest.mark.parametrize("suffix", ["tsv", "parquet"])
def test_no_item_has_the_id_of_an_unknown_item_or_of_padding(tmp_path, suffix):
    path = tmp_path / f"log.{suffix}"
    accepted = HOSTILE_IDS if suffix == "parquet" else [each for each in HOSTILE_IDS if not set(each) & set("\t\r\n")]
    items = [UNKNOWN_ID, PADDING_ID, *accepted]
    if suffix == "tsv":
        lines = [f"s\t{item_id}\t{time}\n" for time, item_id in enumerate(items)]
        path.write_bytes(("SessionId\tItemId\tTime\n" + "".join(lines)).encode())
    else:
        times = pa.array(range(len(items)), pa.int64())
        pq.write_table(pa.table({"SessionId": ["s"] * len(items), "ItemId": items, "Time": times}), path)
    acceptance = Acceptance(max_rejected_share=0.5, allowed_findings=ERRORS)
    parameters = IngestParameters(form=LogForm(max_id_bytes=4_096, time_format="milliseconds"), acceptance=acceptance)
    ingest(dict.fromkeys(SPLITS, path), tmp_path / "events", parameters)
    assert read_split(tmp_path / "events", "train")["item_id"].to_pylist() == accepted


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


def test_a_long_session_costs_what_its_events_cost_and_its_targets_all_count(make_artifacts, tmp_path):
    rng = np.random.default_rng(0)
    items = [f"i{number}" for number in range(30)]
    train = {f"s{number}": rng.choice(items, 4).tolist() for number in range(200)} | {"all": items}
    bot = rng.choice(items, 3_000).tolist()
    artifacts = make_artifacts(train=train, valid=train, test={"bot": bot})
    model = Strict(items, max_length=8)
    save_model(model, tmp_path / "model", max_session_length=8)
    document = evaluate(
        *artifacts, tmp_path / "model", tmp_path / "metrics.json", EvaluateParameters(evaluate_ks=(1, 5))
    )
    assert document["num_targets"] == 2_999
    vectors = model.candidate(tf.constant(items))["embedding"].numpy().astype(np.float64)
    bonus = model.bonus.numpy()[1:]
    hits = []
    for place in range(1, len(bot)):
        newest = [items.index(item_id) for item_id in bot[max(0, place - 8) : place]]
        scores = vectors @ np.append(vectors[newest, :-1].mean(axis=0), 1.0)
        scores[np.unique(newest)] += bonus[np.unique(newest)]
        hits.append((scores >= scores[items.index(bot[place])] - 1e-6).sum() <= 5)
    assert document["model"]["recall@5"] == pytest.approx(np.mean(hits), abs=2e-3)


def test_the_breakdowns_of_the_strongest_baseline_stand_beside_the_models(document):
    made = document({"s1": ["a", "a", "b"], "t2": ["c", "c"]})
    strongest = made["strongest_baseline"]
    assert made["baselines"][strongest["name"]]["recall@4"] == max(
        each["recall@4"] for each in made["baselines"].values()
    )
    for key in ("by_repeat", "by_prefix_length", "by_target_popularity", "by_recency"):
        assert strongest[key].keys() == made[key].keys() == made["intervals"][key].keys()
        for name, group in made[key].items():
            assert strongest[key][name]["num_targets"] == group["num_targets"]
            low, high = made["intervals"][key][name]["recall@20"]
            assert low <= group["recall@20"] <= high
    # The events of all splits are seconds apart.
    assert made["by_recency"]["up to 1 day"]["num_targets"] == 3
