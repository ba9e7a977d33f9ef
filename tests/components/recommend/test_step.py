import json
import os
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from factories import make_hostile_id, make_vocabulary_of
from lookup_model import LookupModel
from served import make_draft

from components.core.literal_paths import literal_path
from components.core.progress import PROGRESS_LINE, SECONDS_VARIABLE
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


def write_typed(folder):
    rows = [("5", KNOWN[1], "view"), ("5", KNOWN[2], "addtocart"), ("6", KNOWN[1], "view")]
    session, item, event = map(list, zip(*rows, strict=True))
    time = pa.array([1, 2, 3], pa.timestamp("s"))
    table = pa.table({"SessionId": session, "ItemId": item, "Time": time, "event": event})
    pq.write_table(table, folder / "typed.parquet")
    return str(folder / "typed.parquet")


@pytest.mark.parametrize(
    ("values", "num_counting"),
    [({}, 2), ({"event_types": ("view", "addtocart")}, 3), ({"event_types": ("addtocart",)}, 1),
     ({"event_column": ""}, 3)],
)  # fmt: skip
def test_only_events_count_whose_type_counts_in_training(index_dir, tmp_path, values, num_counting):
    report = recommend_sessions(write_typed(tmp_path), index_dir, tmp_path / "output", parameters(**values))
    assert (report["num_lines"], report["num_events"], report["num_other_types"]) == (3, num_counting, 3 - num_counting)
    if not values:
        found = read(tmp_path / "output")
        assert found["5"] == found["6"]


def test_a_log_without_events_of_the_types_is_refused(index_dir, tmp_path):
    with pytest.raises(ValueError, match=r"none of the 3 events in .*typed\.parquet is of type views or clicks"):
        recommend_sessions(
            write_typed(tmp_path), index_dir, tmp_path / "output", parameters(event_types=("views", "clicks"))
        )


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
        "num_other_types": 0,
        "num_sessions": 200,
        "num_events": len(kept),
        "num_rows": 1000,
        "num_unknown_events": len(unknown),
        "num_distinct_unknown": len(set(unknown)),
        "num_sessions_without_known_item": sum(not set(items) & set(KNOWN) for items in sessions.values()),
        "most_frequent_unknown": {},
    }
    by_frequency = sorted(set(unknown), key=lambda item: (-unknown.count(item), item))
    most_frequent = [(item, unknown.count(item)) for item in by_frequency[:10]]
    assert most_frequent[0][1] > most_frequent[-1][1]
    assert list(report["most_frequent_unknown"].items()) == most_frequent
    read_again = recommend_sessions(log, index_dir, output, parameters(exclude_seen=exclude_seen))
    assert list(read_again["most_frequent_unknown"].items()) == most_frequent
    assert not (output / ".work").exists()


def stop_at_third_part(monkeypatch):
    """Interrupts the third answer; returns the list that gets the number of sessions of each part that is asked for."""
    answer, calls = BulkIndex.answer, []

    def answer_until_killed(self, sessions, **settings):
        calls.append(len(sessions))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answer(self, sessions, **settings)

    monkeypatch.setattr(BulkIndex, "answer", answer_until_killed)
    return calls


def test_a_stopped_run_goes_on_with_the_next_part(log, index_dir, small_parts, tmp_path, monkeypatch):
    whole, output = tmp_path / "whole", tmp_path / "out"
    expected = recommend_sessions(log, index_dir, whole, parameters())
    calls = stop_at_third_part(monkeypatch)
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


@pytest.fixture
def stopped(log, index_dir, small_parts, tmp_path, monkeypatch):
    """A folder whose run was stopped before its third part; and its index, loaded once for all runs."""
    loaded = BulkIndex(index_dir)
    monkeypatch.setattr(step, "BulkIndex", lambda _: loaded)
    answer = BulkIndex.answer
    stop_at_third_part(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        recommend_sessions(log, index_dir, tmp_path / "stopped", parameters())
    monkeypatch.setattr(BulkIndex, "answer", answer)
    return tmp_path / "stopped"


def test_no_part_is_lost_when_the_removal_of_another_run_is_interrupted(log, index_dir, stopped, tmp_path, monkeypatch):
    expected = recommend_sessions(log, index_dir, tmp_path / "whole", parameters())
    unlink, num_kept = os.unlink, [0]

    def unlink_until_killed(*arguments, **options):
        if num_kept[0] == 0:
            raise KeyboardInterrupt
        num_kept[0] -= 1
        unlink(*arguments, **options)

    for number in range(100):
        output = tmp_path / str(number)
        shutil.copytree(stopped, output)
        num_kept[0] = number
        with monkeypatch.context() as patched:
            patched.setattr(os, "unlink", unlink_until_killed)
            try:
                recommend_sessions(log, index_dir, output, parameters(recommend_k=2))
            except KeyboardInterrupt:
                is_interrupted = True
            else:
                is_interrupted = False
        assert recommend_sessions(log, index_dir, output, parameters()) == expected
        assert read(output) == read(tmp_path / "whole")
        if not is_interrupted:
            break
    assert 6 < number < 99  # two parts and their descriptions, the grouped sessions and what is known of them


def test_a_part_that_is_gone_is_made_again(log, index_dir, stopped, tmp_path):
    expected = recommend_sessions(log, index_dir, tmp_path / "whole", parameters())
    (stopped / "part-00000.parquet").unlink()
    assert recommend_sessions(log, index_dir, stopped, parameters()) == expected
    assert read(stopped) == read(tmp_path / "whole")
    (stopped / "part-00002.parquet").unlink()  # after the end of the run
    assert recommend_sessions(log, index_dir, stopped, parameters()) == expected
    assert read(stopped) == read(tmp_path / "whole")


@pytest.mark.parametrize("report", ["{}", "", '{"num_rows": 1', "[]", "\0"])
def test_a_folder_with_a_damaged_report_is_made_again(log, index_dir, stopped, report):
    expected = recommend_sessions(log, index_dir, stopped, parameters())
    (stopped / "_report.json").write_text(report)
    assert recommend_sessions(log, index_dir, stopped, parameters()) == expected
    assert json.loads((stopped / "_report.json").read_text()) == expected
    (stopped / "part-00001.parquet").write_text("PAR1")
    assert recommend_sessions(log, index_dir, stopped, parameters()) == expected


def test_progress_counts_what_an_earlier_start_has_answered(log, index_dir, stopped, tmp_path, monkeypatch, capsys):
    def find_progress():
        printed = map(PROGRESS_LINE.fullmatch, capsys.readouterr().out.splitlines())
        return [(int(line[1]), line[2].partition("  ")[0]) for line in printed if "sessions" in line[2]]

    monkeypatch.setenv(SECONDS_VARIABLE, "0")
    capsys.readouterr()
    recommend_sessions(log, index_dir, stopped, parameters())
    assert find_progress() == [(90, "180 of 200 sessions"), (100, "200 of 200 sessions")]
    recommend_sessions(log, index_dir, tmp_path / "whole", parameters())
    assert find_progress()[:2] == [(30, "60 of 200 sessions"), (60, "120 of 200 sessions")]


def test_a_log_that_changed_is_read_again(log, index_dir, tmp_path):
    output = tmp_path / "out"
    assert recommend_sessions(log, index_dir, output, parameters())["num_sessions"] == 200
    pq.write_table(pq.read_table(log).slice(0, 1), log)
    assert recommend_sessions(log, index_dir, output, parameters())["num_sessions"] == 1
    assert len(read(output)) == 1


def test_a_second_run_into_the_same_folder_is_refused_at_once(log, index_dir, tmp_path, monkeypatch):
    output, answer, refused = tmp_path / "out", BulkIndex.answer, []

    def start_another(self, sessions, **settings):
        with pytest.raises(
            ValueError, match=f"no other run writes to.*/out, .* process {os.getpid()}. Wait"
        ) as failure:
            recommend_sessions(log, tmp_path / "no index", output, parameters(recommend_k=2))
        refused.append(failure.value)
        return answer(self, sessions, **settings)

    monkeypatch.setattr(BulkIndex, "answer", start_another)
    report = recommend_sessions(log, index_dir, output, parameters())
    assert refused
    assert pq.read_table(output).num_rows == report["num_rows"]
    monkeypatch.undo()
    assert recommend_sessions(log, index_dir, output, parameters()) == report


def test_a_lock_in_the_folder_makes_it_no_other_folder(log, index_dir, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").touch()
    assert recommend_sessions(log, index_dir, tmp_path / "out", parameters())["num_sessions"] == 200


def test_a_folder_with_other_files_is_refused(log, index_dir, tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(ValueError, match="Expected an output folder that is new, empty, or written by this command"):
        recommend_sessions(log, index_dir, tmp_path, parameters())
    assert (tmp_path / "thesis.doc").read_text() == "mine"
    assert not (tmp_path / ".lock").exists()


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
    with pytest.raises(ValueError, match=r"signatures recommend, known. Received: .* with the signatures none"):
        recommend_sessions(log, tmp_path / "model", tmp_path / "out", parameters())


@pytest.mark.parametrize(
    ("name", "value"), [("recommend_k", 0), ("max_session_events", 0), ("max_rejected_share", 1.5), ("item_column", "")]
)
def test_parameters_are_checked(name, value):
    with pytest.raises(ValueError, match=r"Expected .* Received: "):
        RecommendParameters(**{name: value})


def test_a_large_catalogue_is_asked_for_few_sessions_at_a_time(index_dir, monkeypatch):
    monkeypatch.setattr("components.recommend.answers.SCORES_BYTES", 4 * len(KNOWN) * 3)
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
    # Of a slice, and with a k that no integer of 32 bits holds.
    part = index.answer(sessions.slice(3, 1), k=3_000_000_000, exclude_seen=False)
    assert (part.unknown.to_pylist(), part.num_without, part.table.num_rows) == ([], 0, len(KNOWN))
    assert part.table["item_id"].to_pylist()[:2] == [row["item_id"] for row in rows if row["session_id"] == "d"]


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
