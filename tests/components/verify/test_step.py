import copy
import json
import re
import shutil

import numpy as np
import pytest
from factories import make_events
from lookup_model import LookupModel, save_model

from components.core.events import describe_split, write_split
from components.core.run_artifacts import TRAINING_FILE
from components.verify import step
from components.verify.parameters import VerifyParameters
from components.verify.step import Candidate, VerificationError, verify
from components.vocabulary.step import make_vocabulary

NUM_ITEMS = 100
SPLITS = {
    "train": {f"s{number}": [f"i{number}", f"i{number + 1}", f"i{number + 2}"] for number in range(NUM_ITEMS - 12)},
    "valid": {"v1": ["i1", "i2"], "v2": ["i3", "i1"]},
    "test": {f"t{number}": [f"i{number}", f"i{number + 3}", "new"] for number in range(30)},
}
BEGIN = {"train": 1_000, "valid": 1_000_000, "test": 2_000_000}
UNTIL = 2_000_000 + 29_000 + 2  # the last session's third event


class Case:
    """A log, the model that was evaluated, and one that was trained on all splits, which is as it should be."""

    def __init__(self, folder):
        self.folder = folder
        tables = {split: make_events(sessions, BEGIN[split]) for split, sessions in SPLITS.items()}
        for split, table in tables.items():
            write_split(table, folder / "events", split)
        self.index_check = {
            "schema_version": 1,
            "test": describe_split(tables["test"]),
            "index_recall": 1.0,
            "p99_ms": 10.0,
            "score_difference": 1e-7,
        }
        ids = make_vocabulary(
            folder / "events", folder / "all.parquet", min_item_count=1, include_valid=True, include_test=True
        ).item_ids.to_pylist()
        make_vocabulary(folder / "events", folder / "evaluated.parquet", min_item_count=1, include_valid=True)
        self.make_model("evaluated", LookupModel(ids), trained_until=1_001_001)
        self.make_model("all", LookupModel(ids), trained_until=UNTIL)
        self.ids = ids

    def make_model(self, name, model, *, trained_until, epochs=2, best_epoch=2, **parameters):
        path = self.folder / f"model-{name}-{len(list(self.folder.iterdir()))}"
        save_model(model, path, **parameters)
        document = json.loads((path / TRAINING_FILE).read_text())
        document |= {"trained_until": trained_until, "training": {"best_epoch": best_epoch}, "refit": [{}] * epochs}
        (path / TRAINING_FILE).write_text(json.dumps(document))
        setattr(self, name, Candidate(model_dir=path, vocabulary_path=self.folder / f"{name}.parquet"))

    def verify(self, **parameters):
        (self.folder / "index_check.json").write_text(json.dumps(self.index_check))
        paths = (self.folder / "index_check.json", self.folder / "verification.json")
        return verify(self.folder / "events", self.all, self.evaluated, *paths, VerifyParameters(**parameters))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("template"))


@pytest.fixture
def case(template, tmp_path):
    """A copy of the template, so that a test can change it; saving its models takes seconds."""
    copied = copy.deepcopy(template)
    copied.folder = shutil.copytree(template.folder, tmp_path / "case")
    for name in ("evaluated", "all"):
        model_dir = copied.folder / getattr(template, name).model_dir.name
        setattr(copied, name, Candidate(model_dir=model_dir, vocabulary_path=copied.folder / f"{name}.parquet"))
    return copied


def test_a_model_that_is_as_it_should_be(case):
    document = case.verify()
    assert document == {
        "schema_version": 1,
        "num_items": 91,
        "num_evaluated_items": 90,
        "num_sessions": 30,
        "overlap": document["overlap"],
        "epochs": 2,
        "trained_until": UNTIL,
        "index_recall": 1.0,
        "p99_ms": 10.0,
        "score_difference": 1e-7,
    }
    # The same vectors; only the item that is new can take a place.
    assert 0.9 < document["overlap"] <= 1.0
    assert json.loads((case.folder / "verification.json").read_text()) == document


def test_the_overlap_by_hand():
    assert step.measure_overlap([{"a", "b"}, {"c", "d"}], [{"a", "x"}, {"c", "d"}]) == 0.75
    assert step.measure_overlap([], []) == 0.0


def test_another_model_does_not_recommend_the_same(case):
    other = LookupModel(case.ids)
    other.vectors.assign(np.random.default_rng(1).normal(size=other.vectors.shape))
    case.make_model("all", other, trained_until=UNTIL)
    # 20 of 91 items at random
    with pytest.raises(VerificationError, match=r"overlap of at least 0.6; received 0\.[0-4]"):
        case.verify(refit_min_overlap=0.6)
    assert 0.1 < case.verify(refit_min_overlap=0.0)["overlap"] < 0.5


def test_a_model_that_has_diverged(case):
    broken = LookupModel(case.ids)
    broken.vectors.assign(np.full(broken.vectors.shape, np.nan))
    case.make_model("all", broken, trained_until=UNTIL)
    with pytest.raises(ValueError, match="Expected finite query embeddings"):
        case.verify()


def test_a_vocabulary_that_lacks_items_of_the_test_split(case):
    (case.folder / "all.parquet").write_bytes((case.folder / "evaluated.parquet").read_bytes())
    with pytest.raises(VerificationError, match=r"a vocabulary of every item of the log, .* \(90 items found\)"):
        case.verify()


def test_rare_items_may_lack(case):
    make_vocabulary(
        case.folder / "events", case.folder / "all.parquet", min_item_count=4, include_valid=True, include_test=True
    )
    assert case.verify(min_item_count=4, refit_min_overlap=0.0)["num_items"] < 91
    with pytest.raises(VerificationError, match="a vocabulary of every item"):
        case.verify(refit_min_overlap=0.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trained_until": 1_001_001}, f"a model trained until {UNTIL} ms, the newest event; received 1001001 ms"),
        ({"epochs": 3}, "2 epochs, as the evaluated model; received 3"),
        ({"temperature": 0.2}, "the training parameters of the evaluated model"),
    ],
)
def test_another_training(case, given, message):
    case.make_model("all", LookupModel(case.ids), **{"trained_until": UNTIL, **given})
    with pytest.raises(VerificationError, match=message):
        case.verify()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("index_recall", 0.97, "index_recall of at least 0.98; received 0.97"),
        ("p99_ms", 101.0, "p99_ms of at most 100; received 101"),
        ("score_difference", 0.001, "score_difference of at most 0.0001; received 0.001"),
        ("score_difference", float("nan"), "score_difference of at most 0.0001; received nan"),
        ("index_recall", None, "index_recall of at least 0.98; received None"),
        ("test", {"num_events": 1}, "an index check of the test split of the events"),
        ("schema_version", 2, "an index check of the test split of the events"),
    ],
)
def test_an_index_that_the_gate_would_not_let_pass(case, name, value, message):
    case.index_check[name] = value
    with pytest.raises(VerificationError, match=re.escape(message)):
        case.verify()


def test_all_that_fails_is_named(case):
    case.index_check |= {"index_recall": 0.1, "p99_ms": 1_000.0}
    with pytest.raises(VerificationError, match=r"index_recall .*; expected p99_ms .* stays as it is"):
        case.verify()


def test_a_bound_out_of_range():
    with pytest.raises(ValueError, match=r"Expected refit_min_overlap to be from 0 to 1\. Received: 1\.5"):
        VerifyParameters(refit_min_overlap=1.5)
