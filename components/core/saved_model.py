"""Reads the SavedModels that `train` and `export` write."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.core.literal_paths import literal_path
from components.core.vocabulary import Vocabulary

# TensorFlow reserves assets.extra for user files. This one holds the parameters and the history of the training.
TRAINING_FILE = Path("assets.extra", "training.json")
SCANN_OPERATION = b"Scann>"


def read_training(model_dir: Path) -> dict[str, Any]:
    """Reads the training metadata of a model.

    Keys: `parameters`, `training`, `selection`, `refit`, `trained_until`, `data_sha256`, `started_from`, `pointer`,
    `checkpoint_dir`.
    """
    training: dict[str, Any] = json.loads((model_dir / TRAINING_FILE).read_text())
    return training


def load_index(index_dir: Path) -> Any:
    """Loads an index; its search may need the operations of ScaNN.

    Raises:
        RuntimeError: the index needs the package scann, which is not installed.
    """
    with literal_path(index_dir) as path:
        if SCANN_OPERATION in Path(path, "saved_model.pb").read_bytes():
            try:
                importlib.import_module("scann.scann_ops.py.scann_ops")  # registers them with TensorFlow
            except ModuleNotFoundError as error:
                raise RuntimeError(
                    f"The index {index_dir} was exported with index_kind scann, which needs the package scann. Install "
                    f"scann 1.4.2. Received: {error}"
                ) from error
        return tf.saved_model.load(path)


def embed_catalogue(saved_model: Any, vocabulary: Vocabulary) -> npt.NDArray[np.float32]:
    """Embeds every item with the candidate tower of a loaded SavedModel.

    Returns:
        [num_items, dimension]; row i belongs to index i + 1. `dimension` is `embedding_dim`, plus 1 with a trend.
    """
    ids = vocabulary.item_ids.to_pylist()
    size = 65_536
    parts = [ids[begin : begin + size] for begin in range(0, len(ids), size)]
    return np.concatenate([saved_model.candidate(tf.constant(part))["embedding"].numpy() for part in parts])


def score_by_popularity(num_items: int) -> npt.NDArray[np.float32]:
    """Returns the scores after a session without any known item, [num_items].

    The vocabulary is sorted by descending count; the score is 1 / position, so it is different for each item.
    """
    return (1.0 / np.arange(1, num_items + 1)).astype(np.float32)
