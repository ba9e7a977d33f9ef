import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from factories import make_hostile_id, make_vocabulary_of
from lookup_model import LookupModel
from served import make_draft

from components.core.literal_paths import literal_path
from components.core.serving.location import open_location
from components.export.index import Index, recommend
from components.recommend import step
from components.recommend.answers import BulkIndex
from components.recommend.parameters import RecommendParameters
from components.recommend.step import fetch_index, recommend_sessions

KNOWN = [each for each in map(make_hostile_id, range(90)) if len(each.encode()) <= 256]
MAX_EVENTS = 30


@pytest.fixture(scope="module")
def index_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index [1]") / "index"
    model = LookupModel(KNOWN)
    candidates = model.candidate(tf.constant(KNOWN))["embedding"].numpy()
    Index(
        model, vocabulary=make_vocabulary_of(KNOWN), candidates=candidates, embedding_dim=16, max_length=8
    ).save(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def sessions():
    """Item ids by session: of many lengths, with unknown items, and some without any known item."""
    rng = np.random.default_rng(0)
    made = {}
    for number in range(200):
        length = 80 if number == 7 else int(rng.integers(1, 12))
        items = [KNOWN[each] if rng.random() < 0.8 else f"new {each}" for each in rng.integers(0, len(KNOWN), length)]
        made[f"{make_hostile_id(number % 30)[:50]} {number}"] = ["gone"] if number % 40 == 3 else items
    return made


@pytest.fixture
def log(sessions, tmp_path):
    """The events in any order; of equal times in each session, which keep the order of the file."""
    rng = np.random.default_rng(1)
    rows = [
        (session, item, 1_700_000_000_000 + 1_000 * (place // 2), place)
        for session, items in sessions.items()
        for place, item in enumerate(items)
    ]
    rows = sorted((rows[each] for each in rng.permutation(len(rows))), key=lambda row: row[3] % 2)
    session, item, time, _ = zip(*rows, strict=True)
    path = tmp_path / "log.parquet"
    table = pa.table({"SessionId": list(session), "ItemId": list(item), "Time": list(time)})
    pq.write_table(table, path, row_group_size=100)
    return str(path)


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(step, "PART_SESSIONS", 60)


def parameters(**values):
    return RecommendParameters(**{"recommend_k": 5, "max_session_events": MAX_EVENTS, **values})


def read(output):
    """Items and scores by session, checked for the order of sessions and ranks."""
    rows = pq.read_table(output).to_pylist()
    assert [row["session_id"].encode() for row in rows] == sorted(row["session_id"].encode() for row in rows)
    found = {}
    for row in rows:
        items = found.setdefault(row["session_id"], [])
        items.append((row["item_id"], row["score"]))
        assert row["rank"] == len(items)
    return found


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_each_session_gets_what_one_query_gives(sessions, log, index_dir, small_parts, tmp_path, exclude_seen):
    output = tmp_path / "out"
    report = recommend_sessions(log, index_dir, output, parameters(exclude_seen=exclude_seen))
    found = read(output)
    assert set(found) == set(sessions)
    assert len(list(output.glob("part-*"))) == 4
    with literal_path(index_dir) as path:
        signatures = tf.saved_model.load(path).signatures
    for session, items in sessions.items():
        asked = tf.constant([items[-MAX_EVENTS:]])
        nothing = tf.constant([[]], tf.string)
        answer = signatures["recommend"](
            item_ids=asked, k=tf.constant([5]), exclude_ids=asked if exclude_seen else nothing
        )
        assert [item for item, _ in found[session]] == [item.decode() for item in answer["item_ids"].numpy()[0]]
        np.testing.assert_allclose([score for _, score in found[session]], answer["scores"].numpy()[0], rtol=1e-5)
    kept = [item for items in sessions.values() for item in items[-MAX_EVENTS:]]
    unknown = [item for item in kept if item not in KNOWN]
    assert report == json.loads((output / "_report.json").read_text())
    assert report | {"most_frequent_unknown": {}} == {
        "num_lines": sum(map(len, sessions.values())),
        "num_rejected": 0,
        "num_sessions": 200,
        "num_events": len(kept),
        "num_rows": 1000,
        "num_unknown_events": len(unknown),
        "num_distinct_unknown": len(set(unknown)),
        "num_sessions_without_known_item": sum(not set(items) & set(KNOWN) for items in sessions.values()),
        "most_frequent_unknown": {},
    }
    assert report["most_frequent_unknown"] == {
        item: unknown.count(item) for item in sorted(report["most_frequent_unknown"])
    }
    assert not (output / ".work").exists()


def test_a_stopped_run_goes_on_with_the_next_part(log, index_dir, small_parts, tmp_path, monkeypatch):
    whole, output = tmp_path / "whole", tmp_path / "out"
    expected = recommend_sessions(log, index_dir, whole, parameters())
    answer, calls = BulkIndex.answer, []

    def answer_until_killed(self, sessions, **settings):
        calls.append(len(sessions))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answer(self, sessions, **settings)

    monkeypatch.setattr(BulkIndex, "answer", answer_until_killed)
    with pytest.raises(KeyboardInterrupt):
        recommend_sessions(log, index_dir, output, parameters())
    assert not (output / "_report.json").exists()
    assert recommend_sessions(log, index_dir, output, parameters()) == expected
    assert calls == [60, 60, 60, 60, 20]  # the third part was asked for twice
    assert read(output) == read(whole)
    assert recommend_sessions(log, index_dir, output, parameters()) == expected
    assert len(calls) == 5
    # With another parameter, all is written anew.
    assert recommend_sessions(log, index_dir, output, parameters(recommend_k=2))["num_rows"] == 400
    assert len(calls) == 9


def test_a_log_that_changed_is_read_again(log, index_dir, tmp_path):
    output = tmp_path / "out"
    assert recommend_sessions(log, index_dir, output, parameters())["num_sessions"] == 200
    pq.write_table(pq.read_table(log).slice(0, 1), log)
    assert recommend_sessions(log, index_dir, output, parameters())["num_sessions"] == 1
    assert len(read(output)) == 1


def test_a_folder_with_other_files_is_refused(log, index_dir, tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(ValueError, match="Expected an output folder that is new, empty, or written by this command"):
        recommend_sessions(log, index_dir, tmp_path, parameters())
    assert (tmp_path / "thesis.doc").read_text() == "mine"


def test_rejected_lines_are_kept_and_counted(index_dir, tmp_path):
    log, output = tmp_path / "log.tsv", tmp_path / "out"
    lines = ["SessionId\tItemId\tTime", *(f"s{number}\tplain\t1700000000" for number in range(199)), "s\tplain\tnoon"]
    log.write_text("\n".join(lines) + "\n")
    report = recommend_sessions(str(log), index_dir, output, parameters())
    assert (report["num_lines"], report["num_rejected"], report["num_sessions"]) == (200, 1, 199)
    [rejected] = pq.read_table(output / "_rejected.parquet").to_pylist()
    assert rejected["line"] == 201
    log.write_text("\n".join([lines[0], lines[1], lines[-1]]) + "\n")
    expected = r"at most 1.00% of the lines .* 1 of 2\. 1 x .* All rejected lines are in .*_rejected.parquet"
    with pytest.raises(ValueError, match=expected):
        recommend_sessions(str(log), index_dir, output, parameters())
    log.write_text(lines[0] + "\n")
    with pytest.raises(ValueError, match="no event"):
        recommend_sessions(str(log), index_dir, output, parameters())


def test_a_model_and_a_missing_index_are_refused(log, tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected an index"):
        recommend_sessions(log, tmp_path / "none", tmp_path / "out", parameters())
    model = tf.Module()
    tf.saved_model.save(model, str(tmp_path / "model"))
    with pytest.raises(ValueError, match="signatures recommend and known"):
        recommend_sessions(log, tmp_path / "model", tmp_path / "out", parameters())


@pytest.mark.parametrize(
    ("name", "value"), [("recommend_k", 0), ("max_session_events", 0), ("max_rejected_share", 1.5), ("item_column", "")]
)
def test_parameters_are_checked(name, value):
    with pytest.raises(ValueError, match=r"Expected .* Received: "):
        RecommendParameters(**{name: value})


def test_a_large_catalogue_is_asked_for_few_sessions_at_a_time(index_dir, monkeypatch):
    monkeypatch.setattr("components.recommend.answers.SCORES_BYTES", 4 * 128 * 3)  # the table is filled up to 128 rows
    index = BulkIndex(index_dir)
    assert index.max_sessions == 3
    lists = pa.array([["plain"], [], ["two words", "plain"], ["plain"], ["nothing"]], pa.list_(pa.string()))
    sessions = pa.record_batch([pa.array(list("abcde")), lists], ["session_id", "item_ids"])
    answer = index.answer(sessions, k=2, exclude_seen=False)
    rows = answer.table.to_pylist()
    assert [row["session_id"] for row in rows] == list("aabbccddee")
    assert [row["item_id"] for row in rows if row["session_id"] == "a"] == [
        item for item, _ in recommend(index_dir, ["plain"], k=2, exclude_seen=False).items
    ]
    assert answer.num_without == 2
    assert answer.unknown.to_pylist() == ["nothing"]


def test_the_newest_version_is_fetched(tmp_path):
    location = open_location(str(tmp_path / "serving"))
    for key in ("first", "second"):
        location.publish(make_draft(tmp_path, key))
    assert fetch_index(str(tmp_path / "serving"), tmp_path / "newest") == 2
    assert re.match(rb"second", (tmp_path / "newest" / "saved_model.pb").read_bytes())
    assert fetch_index(str(tmp_path / "serving"), tmp_path / "first", version=1) == 1
    with pytest.raises(ValueError, match=r"one of: 1, 2\. Received: 3"):
        fetch_index(str(tmp_path / "serving"), tmp_path / "third", version=3)
    with pytest.raises(ValueError, match=r"one of: none"):
        fetch_index(str(tmp_path / "empty"), tmp_path / "none")
