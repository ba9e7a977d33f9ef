"""The top-k index over the candidates, as a SavedModel that takes sessions and returns items."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf
import tensorflow_recommenders as tfrs


class Index(tf.Module):
    """Query tower and brute-force top-k in one graph.

    Signature `serving_default` of the SavedModel:
        item_ids: [batch_size, length] strings, each session's items from the oldest, padded with "".
        k: [] int32, how many items to return.
        exclude_ids: [batch_size, num_excluded] strings, items not to return, padded with ""; may have no column.
        returns: item_ids [batch_size, k] strings and scores [batch_size, k] float32, best first; "" and -inf
            behind the end where fewer than k items are left.
    """

    def __init__(self, saved_model: Any, *, item_ids: pa.StringArray, candidates: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.saved_model = saved_model
        self.num_items = len(item_ids)
        self.brute_force = tfrs.layers.factorized_top_k.BruteForce()
        self.brute_force.index(tf.constant(candidates), tf.constant(item_ids.to_pylist()))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.string, "item_ids"),
            tf.TensorSpec([], tf.int32, "k"),
            tf.TensorSpec([None, None], tf.string, "exclude_ids"),
        ]
    )
    def recommend(self, item_ids: tf.Tensor, k: tf.Tensor, exclude_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """See the class."""
        session_id = tf.fill([tf.shape(item_ids)[0]], "")
        query = self.saved_model.query(session_id, item_ids)["embedding"]
        # So many are enough, even if all that is excluded stands in front.
        num_found = tf.minimum(k + tf.shape(exclude_ids)[1], self.num_items)
        scores, found = self.brute_force(query, k=num_found)
        is_excluded = tf.reduce_any(found[:, :, tf.newaxis] == exclude_ids[:, tf.newaxis, :], axis=2)
        scores = tf.where(is_excluded, -np.inf, scores)
        scores, order = tf.math.top_k(scores, k=tf.minimum(k, num_found))
        found = tf.gather(found, order, batch_dims=1)
        return {"item_ids": tf.where(scores == -np.inf, "", found), "scores": scores}

    def save(self, index_dir: Path) -> None:
        """Writes the SavedModel."""
        tf.saved_model.save(self, str(index_dir), signatures=self.recommend)


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The answer of an index.

    Attributes:
        items: item id and score, best first.
        unknown: item ids of the session that the index does not know.
    """

    items: list[tuple[str, float]]
    unknown: list[str]


def recommend(index_dir: Path, session: Sequence[str], *, k: int, exclude_seen: bool) -> Recommendation:
    """Asks an exported index for the best items after one session.

    Args:
        index_dir: the SavedModel that `Index.save` writes.
        session: item ids from the oldest.
        k: how many items.
        exclude_seen: leave out what the session holds.

    Returns:
        The items, fewer than k if the catalogue has no more, and what is unknown of the session.

    Raises:
        FileNotFoundError: there is no index.
        ValueError: k is below 1, the session is empty, or the SavedModel is no index.
    """
    if not (index_dir / "saved_model.pb").is_file():
        raise FileNotFoundError(f"Expected an index, a folder with saved_model.pb. Received: {index_dir}")
    if k < 1:
        raise ValueError(f"Expected k to be at least 1. Received: {k}")
    if not session or not all(session):
        raise ValueError(f"Expected a session of item ids. Received: {list(session)}")
    signatures = tf.saved_model.load(str(index_dir)).signatures
    index = signatures.get("serving_default")
    if index is None or "exclude_ids" not in index.structured_input_signature[1]:
        raise ValueError(f"Expected an index. Received: {index_dir}, a SavedModel without the signature of one")

    def ask(k: int, exclude: list[str]) -> list[tuple[str, float]]:
        answer = index(
            item_ids=tf.constant([list(session)]),
            k=tf.constant(k, tf.int32),
            exclude_ids=tf.constant([exclude], tf.string),
        )
        item_ids = [item.decode() for item in answer["item_ids"].numpy()[0]]
        return [(item, float(score)) for item, score in zip(item_ids, answer["scores"].numpy()[0], strict=True) if item]

    catalogue = {item for item, _ in ask(2**31 - 1, [])}
    return Recommendation(
        items=ask(k, list(session) if exclude_seen else []),
        unknown=[item for item in dict.fromkeys(session) if item not in catalogue],
    )
