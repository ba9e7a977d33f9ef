import json

import numpy as np
import pyarrow as pa
import pytest
from factories import make_events, make_vocabulary_of
from scipy import sparse

from components.core.ranking import NEVER
from components.core.sequences import Sessions
from components.evaluate.examples import HISTORY, KINDS, choose_examples, write_examples
from components.evaluate.sparse_ranking import SparseScores


def choose(ranks, baseline_ranks, repeats, sessions):
    return choose_examples(*(np.array(each) for each in (ranks, baseline_ranks, repeats, sessions)))


def test_each_kind_by_hand():
    ranks = [1, 10, 21, 500, 21, NEVER, 15]
    baseline_ranks = [2, 21, 10, 1, 400, NEVER, 15]
    repeats = [False, False, False, True, False, False, False]
    chosen = choose(ranks, baseline_ranks, repeats, range(7))
    # 0 and 1 are both hits, but only 1 is one that the baseline misses; 3 is a repeat that the baseline finds.
    assert chosen == {
        "new_hits": [0], "model_better": [1], "baseline_better": [2], "repeats": [3], "missed": [4], "unknown": [5],
    }  # fmt: skip


def test_twenty_of_many_each_of_another_session():
    rng = np.random.default_rng(3)
    size = 5_000
    ranks, baseline_ranks = rng.integers(1, 60, (2, size))
    ranks[:100] = baseline_ranks[:100] = NEVER
    sessions = np.arange(size) // 3
    chosen = choose(ranks, baseline_ranks, rng.random(size) < 0.3, sessions)
    assert {kind: len(targets) for kind, targets in chosen.items()} == KINDS
    drawn = [sessions[target] for targets in chosen.values() for target in targets]
    assert len(set(drawn)) == sum(KINDS.values()) == 20
    assert choose(ranks, baseline_ranks, np.zeros(size, bool), sessions)["repeats"] == []


@pytest.fixture
def written(tmp_path):
    vocabulary = make_vocabulary_of(["a", "b", "c"])
    events = make_events({"s": ["a", "new", "b"], "t": [*["c"] * 20, "a"]})
    sessions = Sessions.encode(events, vocabulary)
    targets = np.array([1, 2, 23])
    scores = np.array([[3, 2, 1], [1, 3, 3], [0, 5, 1]], np.float32)
    added = sparse.csr_array(np.array([[0, 9, 0], [0, 0, 0], [0, 0, 9]], np.float32))
    write_examples(
        {"unknown": [0], "new_hits": [1, 2]},
        baseline="markov",
        ranks={"model": np.array([NEVER, 2, 3]), "markov": np.array([NEVER, 2, 2])},
        scores=lambda rows: scores[rows],
        baseline_scores=SparseScores(shared=np.array([0.3, 0.2, 0.1], np.float32), added=lambda rows: added[rows]),
        vocabulary=vocabulary,
        sessions=sessions,
        events=targets,
        test_items=events["item_id"],
        rows=targets,
        path=tmp_path / "examples.json",
    )
    return json.loads((tmp_path / "examples.json").read_text())


def test_lists_ranks_and_histories_by_hand(written):
    unknown, after_unknown, long = written["examples"]
    assert (written["schema_version"], written["baseline"]) == (1, "markov")
    assert unknown["history"] == ["a"]
    assert (unknown["target"], unknown["rank"], unknown["baseline_rank"]) == ("new", None, None)
    assert (unknown["model_top"], unknown["baseline_top"]) == (["a", "b", "c"], ["b", "a", "c"])
    assert (after_unknown["history"], after_unknown["target"]) == (["a", "new"], "b")
    assert after_unknown["model_top"] == ["b", "c", "a"]  # a tie: the more popular item first
    assert (after_unknown["rank"], after_unknown["baseline_rank"], after_unknown["position"]) == (2, 2, 2)
    assert (long["history"], long["position"], long["target"]) == (["c"] * HISTORY, 20, "a")
    assert long["baseline_top"] == ["c", "a", "b"]
    assert unknown["session"] == after_unknown["session"] != long["session"]


def test_without_examples_the_file_is_there(tmp_path):
    write_examples(
        {},
        baseline="markov",
        ranks={},
        scores=lambda rows: np.zeros((0, 1), np.float32),
        baseline_scores=SparseScores(shared=np.zeros(1, np.float32), added=lambda rows: sparse.csr_array((0, 1))),
        vocabulary=make_vocabulary_of(["a"]),
        sessions=Sessions(
            session_ids=pa.array([], pa.string()), items=np.zeros(0, np.int32), offsets=np.zeros(1, np.int64)
        ),
        events=np.zeros(0, np.int64),
        test_items=pa.chunked_array([pa.array([], pa.string())]),
        rows=np.zeros(0, np.int64),
        path=tmp_path / "examples.json",
    )
    assert json.loads((tmp_path / "examples.json").read_text())["examples"] == []
