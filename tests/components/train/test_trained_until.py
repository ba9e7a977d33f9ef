import pyarrow as pa
import pytest
from factories import make_events

from components.core.events import write_split
from components.core.saved_model import read_training
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


@pytest.mark.slow
@pytest.mark.parametrize(("refit", "expected"), [(False, 5_003), (True, 9_001)])
def test_a_model_says_until_when_it_was_trained(tmp_path, refit, expected):
    first = make_events({"s1": ["a", "b", "a", "b"]}, begin=5_000)
    older = make_events({"s2": ["a", "b"]}, begin=4_000)
    events = {
        "train": pa.concat_tables([first, older]),  # the newest event is not the last one
        "valid": make_events({"s3": ["a", "b"]}, begin=9_000),
        "test": make_events({"s4": ["a", "b"]}, begin=99_000),
    }
    for split, table in events.items():
        write_split(table, tmp_path / "events", split)
    make_vocabulary(tmp_path / "events", tmp_path / "vocabulary.parquet", min_item_count=1, include_valid=refit)
    artifacts = (tmp_path / "events", tmp_path / "vocabulary.parquet", tmp_path / "model", tmp_path / "tensorboard")
    train_model(*artifacts, TrainParameters(**SMALL, refit=refit))
    assert read_training(tmp_path / "model")["trained_until"] == expected
