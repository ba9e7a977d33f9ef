"""A SavedModel like the training's, made without one: for tests of the steps that read it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.core.literal_paths import literal_path
from components.core.run_artifacts import TRAINING_FILE


class LookupModel(tf.Module):
    """Towers whose item vectors are drawn at random and whose query is the mean of the newest items' vectors.

    Embeddings have the trend as one more coordinate, where queries have 1. Each item has a bonus of its own.
    """

    def __init__(
        self, item_ids: list[str], *, embedding_dim: int = 16, max_length: int = 8, trend: bool = True
    ) -> None:
        super().__init__()
        rng = np.random.default_rng(len(item_ids))
        vectors = rng.normal(size=(len(item_ids) + 1, embedding_dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.vectors = tf.Variable(vectors.astype(np.float32))
        self.trend = tf.constant(rng.normal(0.0, 0.01, (len(item_ids) + 1, 1)), tf.float32) if trend else None
        self.bonus = tf.constant(np.append(0.0, rng.uniform(-0.1, 0.5, len(item_ids))), tf.float32)
        self.max_length = max_length
        index = tf.range(1, len(item_ids) + 1, dtype=tf.int64)
        self.items = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(item_ids), index), default_value=0
        )

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "session_id"),
            tf.TensorSpec([None, None], tf.string, "item_ids"),
        ]
    )
    def query(self, session_id: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        is_item = item_ids != ""
        is_read = is_item & (tf.cumsum(tf.cast(is_item, tf.int32), axis=1, reverse=True) <= self.max_length)
        history = tf.ragged.boolean_mask(item_ids, is_read)
        index = history.with_values(self.items.lookup(history.values))
        vectors = tf.gather(self.vectors, index)
        mean = tf.math.divide_no_nan(
            tf.reduce_sum(vectors, axis=1), tf.cast(history.row_lengths(), tf.float32)[:, tf.newaxis]
        )
        dense = index.to_tensor(0)
        place = tf.range(tf.shape(dense)[1])
        is_same_later = (dense[:, :, tf.newaxis] == dense[:, tf.newaxis, :]) & (place[:, tf.newaxis] < place)
        bonus = tf.where(tf.reduce_any(is_same_later, axis=2), 0.0, tf.gather(self.bonus, dense))
        read = tf.RaggedTensor.from_tensor(bonus, lengths=history.row_lengths()).flat_values
        return {
            "embedding": mean if self.trend is None else tf.concat([mean, tf.ones_like(mean[:, :1])], axis=1),
            "bonus": tf.scatter_nd(tf.where(is_read), read, tf.shape(item_ids, tf.int64)),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "item_ids")])
    def candidate(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        index = self.items.lookup(item_ids)
        vectors = tf.gather(self.vectors, index)
        return {
            "embedding": vectors if self.trend is None else tf.concat([vectors, tf.gather(self.trend, index)], axis=1)
        }


def save_model(model: tf.Module, model_dir: Path, **parameters: Any) -> None:
    """Saves a module with the functions `query` and `candidate`, and the training's parameters beside it."""
    model_dir.mkdir(parents=True)
    with literal_path(model_dir) as path:
        tf.saved_model.save(model, path, signatures={"query": model.query, "candidate": model.candidate})
    (model_dir / TRAINING_FILE).parent.mkdir(exist_ok=True)
    defaults = {
        "refit": False,
        "max_session_length": 8,
        "embedding_dim": 16,
        "normalize": True,
        "temperature": 0.1,
        "pointer": True,
    }
    (model_dir / TRAINING_FILE).write_text(json.dumps({"parameters": defaults | parameters}))
