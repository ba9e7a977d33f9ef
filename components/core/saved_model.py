"""What the SavedModel of a training holds, for the steps that read it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.core.vocabulary import Vocabulary

# TensorFlow leaves assets.extra to others: it holds the parameters and the history of the training.
TRAINING_FILE = Path("assets.extra", "training.json")


def read_training(model_dir: Path) -> dict[str, Any]:
    """Reads what `train` wrote beside the towers: `parameters`, `training`, `selection` and `refit`."""
    training: dict[str, Any] = json.loads((model_dir / TRAINING_FILE).read_text())
    return training


def embed_catalogue(saved_model: Any, vocabulary: Vocabulary) -> npt.NDArray[np.float32]:
    """Embeds every item with the candidate tower of a loaded SavedModel.

    Returns:
        [num_items, dimension], row i for index i + 1; `dimension` is `embedding_dim`, or one more with a trend.
    """
    ids = vocabulary.item_ids.to_pylist()
    size = 65_536
    parts = [ids[begin : begin + size] for begin in range(0, len(ids), size)]
    return np.concatenate([saved_model.candidate(tf.constant(part))["embedding"].numpy() for part in parts])
