import json
from pathlib import Path

import pyarrow as pa
import pytest
import tensorflow as tf
from lookup_model import LookupModel, save_model

from components.core.vocabulary import Vocabulary
from components.export.index import Index

ITEM_IDS = ["b", "two words", "商品", "a", "007"]


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The artifacts that `publish` reads, by the names of its arguments."""
    folder = tmp_path_factory.mktemp("artifacts")
    model = LookupModel(ITEM_IDS)
    vocabulary = Vocabulary.count(pa.chunked_array([ITEM_IDS]))
    vocabulary.write(folder / "vocabulary.parquet")
    candidates = model.candidate(tf.constant(vocabulary.item_ids.to_pylist()))["embedding"].numpy()
    Index(model, vocabulary=vocabulary, candidates=candidates, embedding_dim=16, max_length=8).save(folder / "index")
    save_model(model, folder / "model")
    metrics = {"model": {"recall@20": 0.5, "mrr@20": 0.25}, "intervals": {"model": {"recall@20": [0.4, 0.6]}}}
    (folder / "metrics.json").write_text(json.dumps({**metrics, "parameters": {"embedding_dim": 16}}))
    (folder / "verdict.json").write_text(json.dumps({"passed": True, "rules": [{"name": "any", "bound": 0.5}]}))
    return {
        "index_dir": folder / "index",
        "model_dir": folder / "model",
        "vocabulary_path": folder / "vocabulary.parquet",
        "metrics_path": folder / "metrics.json",
        "verdict_path": folder / "verdict.json",
        "verification_path": None,
    }
