"""Artifacts of a run with hostile ids, made without a training: for tests of the report."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from lookup_model import LookupModel, save_model

from components.core.saved_model import TRAINING_FILE, embed_catalogue
from components.core.vocabulary import Vocabulary
from components.evaluate.step import EvaluateParameters, evaluate
from components.report.step import Sources


def make_epoch(number: int, *, is_valid: bool) -> dict[str, float]:
    """What the training writes of an epoch."""
    epoch = {"mean_loss": 6.0 / number, "seconds": 1.5 * number, "targets_per_second": 9_000.0 + number}
    valid = {"valid_recall@20": 0.1 * number, "valid_mrr@20": 0.05 * number}
    return epoch | valid if is_valid else epoch


def make_training(parameters: dict[str, Any]) -> dict[str, Any]:
    """What the training writes: three epochs of selection, two of the refit."""
    return {
        "parameters": {**parameters, "refit": True, "query_tower": "lookup", "learning_rate": 0.002},
        "training": {
            "seconds": 12.5, "epochs": 5, "best_epoch": 2, "targets_per_second": 9_001.5, "peak_memory_bytes": 3 << 30,
        },
        "selection": [make_epoch(number, is_valid=True) for number in (1, 2, 3)],
        "refit": [make_epoch(number, is_valid=False) for number in (1, 2)],
        "trained_until": 1_425_000_000_000,
        "checkpoint_dir": "",
    }  # fmt: skip


def make_sources(events: tuple[Path, Path], report_path: Path, folder: Path) -> Sources:
    """Evaluates a model that recommends at random, and writes what the report reads.

    Args:
        events: the events artifact and its vocabulary.
        report_path: the data report.
        folder: folder to write to.
    """
    shutil.copytree(events[0], folder / "events")
    shutil.copy(report_path, folder / "events" / "report.json")
    shutil.copy(events[1], folder / "vocabulary.parquet")
    vocabulary = Vocabulary.read(events[1])
    model_dir = folder / "model"
    save_model(LookupModel(vocabulary.item_ids.to_pylist()), model_dir)
    training = model_dir / TRAINING_FILE
    training.write_text(json.dumps(make_training(json.loads(training.read_text())["parameters"])))
    sources = Sources(
        events_dir=folder / "events",
        vocabulary_path=folder / "vocabulary.parquet",
        metrics_path=folder / "metrics.json",
        examples_path=folder / "examples.json",
        embeddings_path=folder / "embeddings.parquet",
        index_check_path=folder / "index_check.json",
    )
    evaluate(*events, model_dir, sources.metrics_path, EvaluateParameters(), examples_path=sources.examples_path)
    embeddings = embed_catalogue(tf.saved_model.load(str(model_dir)), vocabulary)
    column = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel(), pa.float32()), embeddings.shape[1])
    table = pa.table({"item_id": vocabulary.item_ids, "embedding": column})
    pq.write_table(table.replace_schema_metadata({"embedding_dim": "16"}), sources.embeddings_path)
    check = {"index_recall": 0.9998, "p50_ms": np.pi, "p99_ms": 12.25}
    sources.index_check_path.write_text(json.dumps(check))
    return sources
