"""The top-k index over the candidates, as a SavedModel that takes sessions and returns items."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.core.literal_paths import literal_path
from components.core.quiet_start import list_devices
from components.core.saved_model import score_by_popularity
from components.core.vocabulary import Vocabulary

INT32_MAX = np.iinfo(np.int32).max


class Index(tf.Module):
    """Query tower, pointer and exact top-k in one graph.

    A session without any known item among the newest that the model reads gets the most popular items, with the scores
    1, 1/2, 1/3, ...

    Signatures of the SavedModel; `num_items` is the size of the catalogue:
        serving_default:
            item_ids: [batch_size, length] strings, items of each session, oldest first; "" is padding at any position.
            k: [] int32, number of items to return, at least 1.
            exclude_ids: [batch_size, num_excluded] strings, items to exclude per session; "" is padding, and unknown
                ids are ignored. `num_excluded` may be 0.
            returns: item_ids [batch_size, min(k, num_items)] strings and scores [batch_size, min(k, num_items)]
                float32, best first. If exclusions leave fewer items, the row is padded with "" and -inf.
        known:
            item_ids: [batch_size, length] strings.
            returns: known [batch_size, length] bool, whether the index contains the item; False for "".

    `k` below 1, or different numbers of rows in `exclude_ids` and `item_ids`, raise InvalidArgumentError.

    Args:
        saved_model: the loaded SavedModel.
        vocabulary: the items to return.
        candidates: [num_items, dimension] the embedded catalogue.
        max_length: maximum number of items of a session that the model reads, the newest.
    """

    def __init__(
        self, saved_model: Any, *, vocabulary: Vocabulary, candidates: npt.NDArray[np.float32], max_length: int
    ) -> None:
        super().__init__()
        self.saved_model = saved_model
        self.max_length = max_length
        self.num_items = vocabulary.num_items
        self.item_ids = tf.constant(vocabulary.item_ids.to_pylist())
        self.popularity = tf.constant(score_by_popularity(vocabulary.num_items))
        self.candidates = tf.Variable(candidates, trainable=False)
        self.rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.item_ids, tf.range(self.num_items, dtype=tf.int64)),
            default_value=-1,
        )

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.string, "item_ids"),
            tf.TensorSpec([], tf.int32, "k"),
            tf.TensorSpec([None, None], tf.string, "exclude_ids"),
        ]
    )
    def recommend(self, item_ids: tf.Tensor, k: tf.Tensor, exclude_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """See the class."""
        num_sessions, num_rows = tf.shape(item_ids)[0], tf.shape(exclude_ids)[0]
        checks = [
            tf.debugging.Assert(k >= 1, ["Expected k to be at least 1. Received:", k]),
            tf.debugging.Assert(
                num_sessions == num_rows,
                ["Expected as many rows of exclude_ids as sessions,", num_sessions, "Received:", num_rows],
            ),
        ]
        with tf.control_dependencies(checks):
            k = tf.minimum(k, self.num_items)
        scores = self.score(item_ids)
        # Enough candidates even if all excluded items rank first.
        num_best = tf.minimum(k + tf.shape(exclude_ids)[1], self.num_items)
        scores, best = tf.math.top_k(scores, k=num_best)
        excluded = tf.cast(self.rows.lookup(exclude_ids), tf.int32)
        # Sort for binary search; the sentinel `num_items` keeps the positions from searchsorted in bounds.
        excluded = tf.sort(tf.pad(excluded, [[0, 0], [0, 1]], constant_values=self.num_items))
        is_excluded = tf.gather(excluded, tf.searchsorted(excluded, best), batch_dims=1) == best
        scores, order = tf.math.top_k(tf.where(is_excluded, -np.inf, scores), k=k)
        best = tf.gather(best, order, batch_dims=1)
        return {"item_ids": tf.where(scores == -np.inf, "", tf.gather(self.item_ids, best)), "scores": scores}

    def score(self, item_ids: tf.Tensor) -> tf.Tensor:
        """Scores the catalogue for sessions [batch_size, length] of item ids, [batch_size, num_items]."""
        rows = tf.cast(self.rows.lookup(item_ids), tf.int32)
        query = self.saved_model.query(tf.fill([tf.shape(item_ids)[0]], ""), item_ids)
        scores = tf.matmul(query["embedding"], self.candidates, transpose_b=True)
        num_later = tf.cumsum(tf.cast(item_ids != "", tf.int32), axis=1, reverse=True, exclusive=True)
        is_known = (rows >= 0) & (num_later < self.max_length)
        cell = tf.stack([tf.cast(tf.where(is_known)[:, 0], tf.int32), tf.boolean_mask(rows, is_known)], axis=1)
        scores = tf.tensor_scatter_nd_add(scores, cell, tf.boolean_mask(query["bonus"], is_known))
        return tf.where(tf.reduce_any(is_known, axis=1, keepdims=True), scores, self.popularity)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, "item_ids")])
    def known(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """See the class."""
        return {"known": self.rows.lookup(item_ids) >= 0}

    def save(self, index_dir: Path) -> None:
        """Writes the SavedModel."""
        index_dir.mkdir(parents=True, exist_ok=True)
        with literal_path(index_dir) as path:
            tf.saved_model.save(self, path, signatures={"serving_default": self.recommend, "known": self.known})


class Recommendation(NamedTuple):
    """Recommendations for one session.

    Attributes:
        items: pairs of item id and score, best first.
        unknown: distinct ids of the session that are not in the index, in session order.
    """

    items: list[tuple[str, float]]
    unknown: list[str]


def recommend(index_dir: Path, session: Sequence[str], *, k: int, exclude_seen: bool) -> Recommendation:
    """Queries an exported index for the best next items of one session.

    See `Index` for a session without a known item.

    Args:
        index_dir: the SavedModel that `Index.save` writes.
        session: item ids, oldest first.
        k: maximum number of items; fewer are returned if the catalogue is smaller or items are excluded.
        exclude_seen: whether to exclude the items of the session.

    Raises:
        FileNotFoundError: the folder has no saved_model.pb.
        ValueError: k is below 1, the session or an id is empty, or the SavedModel is not an index.
    """
    if not (index_dir / "saved_model.pb").is_file():
        raise FileNotFoundError(f"Expected an index, a folder with saved_model.pb. Received: {index_dir}")
    if k < 1:
        raise ValueError(f"Expected k to be at least 1. Received: {k}")
    if not session or not all(session):
        raise ValueError(f"Expected a session of item ids. Received: {list(session)}")
    list_devices()
    with literal_path(index_dir) as path:
        signatures = tf.saved_model.load(path).signatures
    if not {"serving_default", "known"} <= set(signatures):
        raise ValueError(_not_an_index(index_dir, list(signatures)))
    # Ids that are not valid UTF-8, such as bytes from a command line, are not in any index and come back as unknown.
    item_ids = tf.constant([[item.encode("utf-8", "surrogatepass") for item in session]])
    answer = signatures["serving_default"](
        item_ids=item_ids,
        k=tf.constant(min(k, INT32_MAX), tf.int32),
        exclude_ids=item_ids if exclude_seen else tf.constant([[]], tf.string),
    )
    known = signatures["known"](item_ids=item_ids)["known"].numpy()[0]
    unknown = [item for item, is_known in zip(session, known, strict=True) if not is_known]
    found = zip(answer["item_ids"].numpy()[0], answer["scores"].numpy()[0], strict=True)
    return Recommendation(
        items=[(item.decode(), float(score)) for item, score in found if item],
        unknown=list(dict.fromkeys(unknown)),
    )


def _not_an_index(folder: Path, signatures: list[str]) -> str:
    expected = "Expected the folder of an index, which export writes with the signatures serving_default and known."
    if "query" in signatures:
        return f"{expected} Received: {folder}, which holds the towers; the index is the folder `index` of the same run"
    return f"{expected} Received: {folder} with the signatures {', '.join(signatures) or 'none'}; export it again"
