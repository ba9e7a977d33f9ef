import hashlib

import pyarrow as pa
import pytest
import tensorflow as tf
from factories import make_events

from components.core.events import write_split
from components.core.saved_model import read_training
from components.core.vocabulary import Vocabulary
from components.train.parameters import TrainParameters
from components.train.step import train_model
from components.vocabulary.step import make_vocabulary

SMALL = {
    "query_tower": "mean",
    "embedding_dim": 4,
    "batch_size": 8,
    "num_negatives": 4,
    "max_epochs": 1,
    "min_steps_per_epoch": 0,
}


def write_artifacts(tmp_path, *, refit: bool, include_test: bool = False):
    """Events whose newest one is not the last one, and a vocabulary; the arguments of `train_model`."""
    first = make_events({"s1": ["a", "b", "a", "b"]}, begin=5_000)
    older = make_events({"s2": ["a", "b"]}, begin=4_000)
    events = {
        "train": pa.concat_tables([first, older]),  # the newest event is not the last one
        "valid": make_events({"s3": ["a", "b"]}, begin=9_000),
        "test": make_events({"s4": ["a", "c"], "s5": ["c", "a"]}, begin=99_000),
    }
    for split, table in events.items():
        write_split(table, tmp_path / "events", split)
    name = "all" if include_test else "evaluated"
    folder = tmp_path / name
    make_vocabulary(
        tmp_path / "events",
        folder / "vocabulary.parquet",
        min_item_count=1,
        include_valid=refit,
        include_test=include_test,
    )
    return tmp_path / "events", folder / "vocabulary.parquet", folder / "model", folder / "tensorboard"


@pytest.mark.slow
@pytest.mark.parametrize(("refit", "expected"), [(False, 5_003), (True, 9_001)])
def test_a_model_says_until_when_it_was_trained(tmp_path, refit, expected):
    artifacts = write_artifacts(tmp_path, refit=refit)
    train_model(*artifacts, TrainParameters(**SMALL, refit=refit))
    training = read_training(artifacts[2])
    assert training["trained_until"] == expected
    splits = ("train", "valid") if refit else ("train",)
    contents = b"".join((artifacts[0] / f"{split}.parquet").read_bytes() for split in splits)
    assert training["data_sha256"] == hashlib.sha256(contents).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("pointer", [False, True])
def test_after_the_gate_a_model_is_trained_on_all_splits_as_the_evaluated_one(tmp_path, pointer):
    parameters = TrainParameters(**SMALL | {"max_epochs": 3, "pointer": pointer}, refit=True)
    evaluated = write_artifacts(tmp_path, refit=True)
    train_model(*evaluated, parameters)
    before = read_training(evaluated[2])
    artifacts = write_artifacts(tmp_path, refit=True, include_test=True)
    assert Vocabulary.read(artifacts[1]).item_ids.to_pylist() == ["a", "b", "c"]
    training = train_model(*artifacts, parameters, evaluated_dir=evaluated[2], checkpoint_root=tmp_path / "checkpoints")
    after = read_training(artifacts[2])
    assert after["trained_until"] == 100_001
    contents = b"".join((artifacts[0] / f"{split}.parquet").read_bytes() for split in ("train", "valid", "test"))
    assert after["data_sha256"] == hashlib.sha256(contents).hexdigest()
    assert after["selection"] == []
    assert len(after["refit"]) == before["training"]["best_epoch"] == after["training"]["best_epoch"]
    assert training.refit.num_targets == 7  # 3 and 1 of train, 1 of valid, 1 and 1 of test
    assert after["parameters"] == before["parameters"]
    assert (before["pointer"] is not None) == pointer
    served = tf.saved_model.load(str(artifacts[2])).model.pointer.served.numpy().tolist() if pointer else None
    assert after["pointer"] == served == before["pointer"]


@pytest.mark.slow
def test_other_parameters_than_those_of_the_evaluated_model_are_refused(tmp_path):
    evaluated = write_artifacts(tmp_path, refit=True)
    train_model(*evaluated, TrainParameters(**SMALL, refit=True))
    with pytest.raises(ValueError, match=r"with embedding_dim=4. Received: 8"):
        train_model(*evaluated, TrainParameters(**SMALL | {"embedding_dim": 8}, refit=True), evaluated_dir=evaluated[2])
