"""The top-k index over the candidates, as a SavedModel that takes sessions and returns items."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.core.literal_paths import literal_path
from components.core.saved_model import load_index, score_by_popularity
from components.core.vocabulary import Vocabulary
from components.export.parameters import INT32_MAX, ExportParameters
from components.export.search import make_search

PADDING_SCORE = float(np.finfo(np.float32).min)  # finite, because JSON has no infinity
ITEM_IDS = tf.TensorSpec([None, None], tf.string, "item_ids")


class Index(tf.Module):
    """Query tower, pointer and top-k search in one graph.

    A session without any known item among the newest that the model reads gets the most popular items, with the scores
    1, 1/2, 1/3, ...

    Signatures of the SavedModel. All inputs have the sessions as their first dimension, so that servers can batch
    requests and take them as rows; `num_items` is the size of the catalogue:
        serving_default:
            item_ids: [batch_size, length] strings, items of each session, oldest first; "" is padding at any position.
            returns: item_ids [batch_size, min(serving_k, num_items)] strings and scores of the same shape, float32,
                best first.
        recommend:
            item_ids: as above.
            k: [batch_size] or [1] int32, number of items to return for each session or for all, at least 1.
            exclude_ids: [batch_size, num_excluded] strings, items to exclude per session; "" is padding, and unknown
                ids are ignored. `num_excluded` may be 0.
            returns: item_ids [batch_size, min(max(k), num_items)] strings and scores of the same shape, float32, best
                first. A row with a smaller `k`, or with fewer items left, is padded with "" and `PADDING_SCORE`.
        known:
            item_ids: [batch_size, length] strings.
            returns: known [batch_size, length] bool, whether the index contains the item; False for "".
        similarity:
            item_ids: [batch_size, length] strings.
            other_ids: [batch_size, num_others] strings.
            returns: similarity [batch_size, num_others, length] float32, cosine of the two items' embeddings without
                the trend; 0 where an item is unknown.

    `k` below 1, or different numbers of rows in two inputs, raise InvalidArgumentError.

    Args:
        saved_model: the loaded SavedModel.
        vocabulary: the items to return.
        candidates: [num_items, dimension] the embedded catalogue.
        embedding_dim: number of leading coordinates that come from the candidate tower; the rest is the trend.
        max_length: maximum number of items of a session that the model reads, the newest.
        serving_k: number of items that `serving_default` returns.
        index_kind: how to search, one of INDEX_KINDS.

    Raises:
        ValueError: serving_k is below 1.
    """

    def __init__(
        self,
        saved_model: Any,
        *,
        vocabulary: Vocabulary,
        candidates: npt.NDArray[np.float32],
        embedding_dim: int,
        max_length: int,
        serving_k: int = ExportParameters.serving_k,
        index_kind: str = "brute_force",
    ) -> None:
        super().__init__()
        ExportParameters(serving_k=serving_k)
        self.saved_model = saved_model
        self.embedding_dim = embedding_dim
        self.max_length = max_length
        self.serving_k = min(serving_k, vocabulary.num_items)
        self.num_items = vocabulary.num_items
        self.item_ids = tf.constant(vocabulary.item_ids.to_pylist())
        self.popularity = tf.constant(score_by_popularity(vocabulary.num_items))
        self.search = make_search(index_kind, candidates)
        self.rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.item_ids, tf.range(self.num_items, dtype=tf.int64)),
            default_value=-1,
        )

    @tf.function(autograph=False, input_signature=[ITEM_IDS])
    def recommend_by_default(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `serving_default` of the class."""
        scores, best = self._find_best(item_ids, tf.constant(self.serving_k), tf.zeros_like(item_ids[:, :0]))
        scores, best = (tf.ensure_shape(each, [None, self.serving_k]) for each in (scores, best))
        return {"item_ids": tf.gather(self.item_ids, best), "scores": scores}

    @tf.function(
        autograph=False,
        input_signature=[
            ITEM_IDS,
            tf.TensorSpec([None], tf.int32, "k"),
            tf.TensorSpec([None, None], tf.string, "exclude_ids"),
        ],
    )
    def recommend(self, item_ids: tf.Tensor, k: tf.Tensor, exclude_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """See the class."""
        num_sessions, num_k = tf.shape(item_ids)[0], tf.shape(k)[0]
        checks = [
            tf.debugging.Assert(tf.reduce_all(k >= 1), ["Expected k to be at least 1. Received:", k]),
            tf.debugging.Assert(
                (num_k == num_sessions) | (num_k == 1),
                ["Expected as many values of k as sessions,", num_sessions, ", or one. Received:", num_k],
            ),
            _check_rows(item_ids, exclude_ids, "exclude_ids"),
        ]
        with tf.control_dependencies(checks):
            k, exclude_ids = tf.minimum(k, self.num_items), tf.identity(exclude_ids)
        width = tf.maximum(tf.reduce_max(k), 1)  # of no session at all, the largest k is the smallest integer
        scores, best = self._find_best(item_ids, width, exclude_ids)
        is_found = (scores > -np.inf) & (tf.range(width) < k[:, tf.newaxis])
        return {
            "item_ids": tf.where(is_found, tf.gather(self.item_ids, best), ""),
            "scores": tf.where(is_found, scores, PADDING_SCORE),
        }

    def _find_best(self, item_ids: tf.Tensor, k: tf.Tensor, exclude_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the `k` best items that are not excluded.

        The search knows nothing of the bonus, so the session's own items are taken out of what it finds and put back
        with their exact scores. It finds enough others even if all own and all excluded items rank first.

        Args:
            item_ids: [batch_size, length] strings.
            k: [] int32, at most `num_items`.
            exclude_ids: [batch_size, num_excluded] strings.

        Returns:
            Scores and rows [batch_size, k], best first; the score is -inf where no item is left.
        """
        query = self.saved_model.query(tf.fill([tf.shape(item_ids)[0]], ""), item_ids)
        own, bonus = self._find_own(item_ids, query["bonus"])
        excluded = tf.sort(tf.cast(self.rows.lookup(exclude_ids), tf.int32))
        num_best = tf.minimum(k + tf.shape(own)[1] + tf.shape(excluded)[1], self.num_items)
        scores, found = self.search(query["embedding"], num_best)
        is_own = own < tf.pad(own[:, 1:], [[0, 0], [0, 1]], constant_values=self.num_items)
        has_known = tf.reduce_any(is_own, axis=1, keepdims=True)
        scores = tf.where(has_known, scores, self.popularity[:num_best])
        found = tf.where(has_known, found, tf.range(num_best))
        scores = tf.where(self._contains(own, found) | self._contains(excluded, found), -np.inf, scores)
        own_scores = tf.linalg.matvec(self.search.vectors(tf.where(is_own, own, 0)), query["embedding"]) + bonus
        is_own &= ~self._contains(excluded, own)
        scores = tf.concat([scores, tf.where(is_own, own_scores, -np.inf)], axis=1)
        found = tf.concat([found, own], axis=1)
        scores, order = tf.math.top_k(scores, k=k)
        best = tf.gather(found, order, batch_dims=1)
        return scores, tf.where(scores > -np.inf, best, 0)

    def _find_own(self, item_ids: tf.Tensor, bonus: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the known items among the newest `max_length` of each session.

        Args:
            item_ids: [batch_size, length] strings.
            bonus: [batch_size, length] bonus of each item, at its newest place.

        Returns:
            Rows [batch_size, num_own] in ascending order, each as often as the session has it, then `num_items`; and
            the bonus, which is 0 for all but the newest place of an item, the last of its rows.
        """
        rows = tf.cast(self.rows.lookup(item_ids), tf.int32)
        num_later = tf.cumsum(tf.cast(item_ids != "", tf.int32), axis=1, reverse=True, exclusive=True)
        is_known = (rows >= 0) & (num_later < self.max_length)
        # At least one column, since `searchsorted` takes none.
        rows = tf.pad(tf.where(is_known, rows, self.num_items), [[0, 0], [0, 1]], constant_values=self.num_items)
        bonus = tf.pad(bonus, [[0, 0], [0, 1]])
        most = tf.reduce_max(tf.reduce_sum(tf.cast(is_known, tf.int32), axis=1))
        order = tf.argsort(rows, axis=1, stable=True)[:, : tf.maximum(most, 1)]
        return tf.gather(rows, order, batch_dims=1), tf.gather(bonus, order, batch_dims=1)

    def _contains(self, ordered: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        """Says for each of `others` [batch_size, num_others] whether `ordered` [batch_size, num_rows] contain it."""
        # The last one keeps the positions from searchsorted in bounds; no item has that row.
        ordered = tf.pad(ordered, [[0, 0], [0, 1]], constant_values=self.num_items)
        return tf.gather(ordered, tf.searchsorted(ordered, others), batch_dims=1) == others

    @tf.function(autograph=False, input_signature=[ITEM_IDS])
    def known(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """See the class."""
        return {"known": self.rows.lookup(item_ids) >= 0}

    @tf.function(autograph=False, input_signature=[ITEM_IDS, tf.TensorSpec([None, None], tf.string, "other_ids")])
    def similarity(self, item_ids: tf.Tensor, other_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """See the class."""
        with tf.control_dependencies([_check_rows(item_ids, other_ids, "other_ids")]):
            items, others = self._directions(item_ids), self._directions(other_ids)
        return {"similarity": tf.matmul(others, items, transpose_b=True)}

    def _directions(self, item_ids: tf.Tensor) -> tf.Tensor:
        """Unit vectors of items [batch_size, length], [batch_size, length, embedding_dim]; 0 for unknown ones."""
        rows = self.rows.lookup(item_ids)
        vectors = self.search.vectors(tf.maximum(rows, 0))[:, :, : self.embedding_dim]
        return tf.where(rows[:, :, tf.newaxis] >= 0, tf.math.l2_normalize(vectors, axis=2), 0.0)

    def save(self, index_dir: Path) -> None:
        """Writes the SavedModel."""
        index_dir.mkdir(parents=True, exist_ok=True)
        signatures = {
            "serving_default": self.recommend_by_default,
            "recommend": self.recommend,
            "known": self.known,
            "similarity": self.similarity,
        }
        with literal_path(index_dir) as path:
            tf.saved_model.save(self, path, signatures=signatures)


def _check_rows(item_ids: tf.Tensor, others: tf.Tensor, name: str) -> tf.Operation:
    num_sessions, num_rows = tf.shape(item_ids)[0], tf.shape(others)[0]
    message = [f"Expected as many rows of {name} as sessions,", num_sessions, "Received:", num_rows]
    return tf.debugging.Assert(num_sessions == num_rows, message)


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
    if k < 1:
        raise ValueError(f"Expected k to be at least 1. Received: {k}")
    if not session or not all(session):
        raise ValueError(f"Expected a session of item ids. Received: {list(session)}")
    signatures = load_index(index_dir, signatures=("recommend", "known")).signatures
    # Ids that are not valid UTF-8, such as bytes from a command line, are not in any index and come back as unknown.
    item_ids = tf.constant([[item.encode("utf-8", "surrogatepass") for item in session]])
    answer = signatures["recommend"](
        item_ids=item_ids,
        k=tf.constant([min(k, INT32_MAX)], tf.int32),
        exclude_ids=item_ids if exclude_seen else tf.constant([[]], tf.string),
    )
    known = signatures["known"](item_ids=item_ids)["known"].numpy()[0]
    unknown = [item for item, is_known in zip(session, known, strict=True) if not is_known]
    found = zip(answer["item_ids"].numpy()[0], answer["scores"].numpy()[0], strict=True)
    return Recommendation(
        items=[(item.decode(), float(score)) for item, score in found if item],
        unknown=list(dict.fromkeys(unknown)),
    )
