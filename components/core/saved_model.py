"""What the SavedModel of a training holds, for the steps that read it."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.core.vocabulary import Vocabulary

# TensorFlow keeps assets.extra for the files of others: parameters and history of the training.
TRAINING_FILE = Path("assets.extra", "training.json")


def embed_catalogue(saved_model: Any, vocabulary: Vocabulary) -> npt.NDArray[np.float32]:
    """Embeds every item with the candidate tower of a loaded SavedModel.

    Returns:
        [num_items, embedding_dim], row i for index i + 1.
    """
    ids = vocabulary.item_ids.to_pylist()
    size = 65_536
    parts = [ids[begin : begin + size] for begin in range(0, len(ids), size)]
    return np.concatenate([saved_model.candidate(tf.constant(part))["embedding"].numpy() for part in parts])
