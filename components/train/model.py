"""The two towers with their loss as a `tfrs.Model`, and as the SavedModel that leaves the training."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.core.literal_paths import literal_path
from components.core.sequences import PADDING
from components.core.vocabulary import UNKNOWN
from components.train import loss as losses
from components.train.distribution import gather_replicas, replica_number
from components.train.parameters import TrainParameters
from components.train.towers import CandidateTower, derive_seed, make_query_tower, unit

SEEDS_PER_STEP = 16  # how many draws of one step may differ in their seeds
REPLICA_SEEDS = 1 << 20  # how far apart the seeds of two replicas are


class TwoTower(tfrs.Model):
    """Query tower, candidate tower and a loss over the positions of a padded batch of sessions.

    Args:
        parameters: what to build.
        counts: [num_items] int64 events of each item in the training sessions, entry i for index i + 1.
        num_sessions: how many training sessions the `session_id` tower looks up.
        trend: [num_items] float32 what is added to the logits of each item after training; None for nothing.
    """

    def __init__(
        self,
        parameters: TrainParameters,
        *,
        counts: npt.NDArray[np.int64],
        num_sessions: int,
        trend: npt.NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__()
        self.parameters = parameters
        self.num_items = len(counts)
        self.candidate_tower = CandidateTower(self.num_items, parameters.embedding_dim, normalize=parameters.normalize)
        self.query_tower = make_query_tower(parameters, num_items=self.num_items, num_sessions=num_sessions)
        self.trend = None
        if trend is not None and trend.any():
            self.trend = tf.constant(np.append(0.0, parameters.temperature * trend), tf.float32)
        self.task = tfrs.tasks.Retrieval(
            temperature=parameters.temperature,
            num_hard_negatives=parameters.num_hard_negatives or None,
            remove_accidental_hits=parameters.remove_accidental_hits,
        )
        self.mean_loss = tf.keras.metrics.Mean(name="mean_loss")
        # In-batch negatives come as often as they are viewed; the drawn ones by the chosen exponent.
        self.popularity = losses.sampling_distribution(counts, 1.0)
        self.sampling_probability = losses.sampling_distribution(counts, losses.SAMPLING_EXPONENT)
        self.cumulative = tf.cumsum(self.sampling_probability)

    def build_variables(self) -> None:
        """Makes all variables, which layers otherwise put off to their first call."""
        self.embed_queries(tf.zeros([1], tf.int32), tf.ones([1, 1], tf.int32))

    def embed_queries(self, session: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """[batch_size, length, embedding_dim]; position i is the query after the items up to i."""
        return self._embed_queries(session, items, self.candidate_tower(items))

    def _embed_queries(
        self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        tower = self.query_tower
        if seed is not None and self.parameters.jit_compile:
            tower = tf.function(tower, jit_compile=True)
        queries = tower(session, items, tf.cast(embeddings, self.query_tower.compute_dtype), seed)
        queries = tf.cast(queries, tf.float32)
        return unit(queries) if self.parameters.normalize else queries

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.int32)])
    def embed_positions(self, session: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """`embed_queries` at inference, as one graph for batches of any shape, to be multiplied with candidates."""
        queries = self.embed_queries(session, items)
        return queries if self.trend is None else tf.concat([queries, tf.ones_like(queries[..., :1])], axis=-1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.int32)])
    def embed_last(self, session: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """The query after all items of each row."""
        last = tf.maximum(tf.reduce_sum(tf.cast(items != PADDING, tf.int32), axis=1) - 1, 0)
        return tf.gather(self.embed_positions(session, items), last, batch_dims=1)

    def embed_candidates(self) -> tf.Tensor:
        """What queries are to be multiplied with, row i for index i + 1."""
        return self.embed_items(tf.range(1, self.num_items + 1))

    def embed_items(self, items: tf.Tensor) -> tf.Tensor:
        """The candidates [..., embedding_dim] of item indices [...], with the trend as one more coordinate."""
        embeddings = self.candidate_tower(items)
        if self.trend is None:
            return embeddings
        return tf.concat([embeddings, tf.gather(self.trend, items)[..., tf.newaxis]], axis=-1)

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Sums the loss over the targets of a batch, as `Batch` describes it, or of a replica's share of it.

        Replicas draw the same negatives, and masks and dropout of their own.
        """
        shared_seed = tf.stack(
            [self.parameters.random_seed, SEEDS_PER_STEP * tf.cast(self.optimizer.iterations, tf.int32)]
        )
        seed = shared_seed + REPLICA_SEEDS * tf.stack([replica_number(), 0])
        items, targets = inputs["items"], inputs["targets"]
        sequence = _append_target(items, targets)
        embeddings = self.candidate_tower(sequence)
        read = embeddings[:, :-1]
        if training and self.parameters.mask_rate:
            draws = tf.random.stateless_uniform(tf.shape(items), derive_seed(seed, SEEDS_PER_STEP - 1))
            masked = (draws < self.parameters.mask_rate) & (items != PADDING)
            items = tf.where(masked, UNKNOWN, items)
            read = tf.where(masked[:, :, tf.newaxis], self.candidate_tower(UNKNOWN), read)
        queries = self._embed_queries(inputs["session"], items, read, seed if training else None)
        scored = targets > UNKNOWN
        certain_logits = None
        if self.parameters.loss == "sampled" and self.parameters.session_negatives:
            certain_logits = tf.boolean_mask(self._session_logits(queries, sequence, embeddings, targets), scored)
        loss = self._loss(
            tf.boolean_mask(queries, scored),
            tf.boolean_mask(embeddings[:, 1:], scored),
            tf.boolean_mask(targets, scored),
            certain_logits,
            derive_seed(shared_seed, SEEDS_PER_STEP - 2),
        )
        num_targets = tf.reduce_sum(tf.cast(scored, tf.float32))
        self.mean_loss.update_state(loss / tf.maximum(num_targets, 1.0), sample_weight=num_targets)
        return loss

    def _loss(
        self,
        queries: tf.Tensor,
        positives: tf.Tensor,
        targets: tf.Tensor,
        certain_logits: tf.Tensor | None,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        parameters = self.parameters
        if parameters.loss == "in_batch":
            probability = tf.cast(tf.gather(self.popularity, targets - 1), tf.float32)
            return self.task(
                queries,
                gather_replicas(positives),
                candidate_sampling_probability=gather_replicas(probability) if parameters.correct_sampling else None,
                candidate_ids=gather_replicas(targets) if parameters.remove_accidental_hits else None,
                compute_metrics=False,
            )
        if parameters.loss == "full":
            return losses.full_softmax(
                queries,
                self.candidate_tower(tf.range(1, self.num_items + 1)),
                positive_ids=targets,
                temperature=parameters.temperature,
            )
        drawn = losses.sample_items(self.cumulative, parameters.num_negatives, seed)
        negative_ids, _ = tf.unique(tf.sort(drawn))
        negatives = self.candidate_tower(negative_ids)
        if parameters.loss == "bpr_max":
            return losses.bpr_max(
                queries / parameters.temperature,
                positives,
                negatives,
                positive_ids=targets,
                negative_ids=negative_ids,
                regularization=losses.SCORE_REGULARIZATION,
            )
        log_q = losses.log_inclusion_probability(
            tf.gather(self.sampling_probability, negative_ids - 1), parameters.num_negatives
        )
        return losses.sampled_softmax(
            queries,
            positives,
            negatives,
            positive_ids=targets,
            negative_ids=negative_ids,
            negative_log_q=log_q if parameters.correct_sampling else tf.zeros_like(log_q),
            temperature=parameters.temperature,
            certain_logits=certain_logits,
        )

    def _session_logits(
        self, queries: tf.Tensor, sequence: tf.Tensor, embeddings: tf.Tensor, targets: tf.Tensor
    ) -> tf.Tensor:
        """Logits of each session's own items, each item counted once.

        A session's items are what its targets are easily taken for. Among the in-batch negatives they would be
        weighted as if they were drawn by popularity, though in their own batch they always are.

        Args:
            queries: [batch_size, length, embedding_dim].
            sequence: [batch_size, length + 1] of `_append_target`.
            embeddings: [batch_size, length + 1, embedding_dim] of these items.
            targets: [batch_size, length].

        Returns:
            [batch_size, length, length + 1]; MASKED for padding and for the position's own target.
        """
        same = sequence[:, :, tf.newaxis] == sequence[:, tf.newaxis, :]
        count = tf.reduce_sum(tf.cast(same, tf.float32), axis=2)
        logits = tf.matmul(queries, embeddings, transpose_b=True) / self.parameters.temperature
        is_negative = (sequence > UNKNOWN)[:, tf.newaxis, :] & (sequence[:, tf.newaxis, :] != targets[:, :, tf.newaxis])
        return tf.where(is_negative, logits - tf.math.log(count)[:, tf.newaxis, :], losses.MASKED)


def _append_target(items: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """[batch_size, length + 1]: each row's items, behind them its last target, then PADDING."""
    num_items = tf.reduce_sum(tf.cast(items != PADDING, tf.int32), axis=1, keepdims=True)
    last = tf.gather(targets, tf.maximum(num_items - 1, 0), batch_dims=1)
    padded = tf.pad(items, [[0, 0], [0, 1]], constant_values=PADDING)
    return tf.where(tf.range(tf.shape(padded)[1]) == num_items, last, padded)


class StringModel(tf.Module):
    """The towers over raw string ids, with their vocabulary inside; saved, it needs nothing but TensorFlow.

    Signatures of the SavedModel:
        query: session_id [batch_size], item_ids [batch_size, length] (oldest first, padded with "" anywhere)
            -> embedding [batch_size, embedding_dim].
        candidate: item_ids [batch_size] -> embedding [batch_size, embedding_dim].
    """

    def __init__(
        self, model: TwoTower, *, item_ids: pa.StringArray, session_ids: pa.StringArray, files_dir: Path
    ) -> None:
        super().__init__()
        self.model = model
        self.max_length = model.parameters.max_session_length
        self.items = _index_table(item_ids, files_dir / "item_ids.txt")
        self.sessions = _index_table(session_ids, files_dir / "session_ids.txt")

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "session_id"),
            tf.TensorSpec([None, None], tf.string, "item_ids"),
        ]
    )
    def query(self, session_id: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embeds sessions; one without items reads as a single unknown item."""
        history = tf.ragged.boolean_mask(item_ids, item_ids != "")[:, -self.max_length :]
        items = history.with_values(tf.cast(self.items.lookup(history.values), tf.int32) + 1).to_tensor(PADDING)
        items = tf.pad(items, [[0, 0], [0, 1]], constant_values=PADDING)
        is_empty = (items == PADDING) & (tf.range(tf.shape(items)[1]) == 0)
        items = tf.where(is_empty, UNKNOWN, items)
        return {"embedding": self.model.embed_last(tf.cast(self.sessions.lookup(session_id), tf.int32) + 1, items)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "item_ids")])
    def candidate(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embeds items; one that is not in the vocabulary gets the embedding of the unknown item."""
        return {"embedding": self.model.embed_items(self.items.lookup(item_ids) + 1)}

    def save(self, model_dir: Path) -> None:
        """Writes the SavedModel."""
        model_dir.mkdir(parents=True, exist_ok=True)
        with literal_path(model_dir) as path:
            tf.saved_model.save(self, path, signatures={"query": self.query, "candidate": self.candidate})


def _index_table(ids: pa.StringArray, path: Path) -> tf.lookup.StaticHashTable:
    """A table from id to line number, -1 for what is not there; the file becomes an asset of the SavedModel."""
    path.write_text("".join(f"{each}\n" for each in ids.to_pylist()), encoding="utf-8")
    initializer = tf.lookup.TextFileInitializer(
        str(path),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    return tf.lookup.StaticHashTable(initializer, default_value=-1)
