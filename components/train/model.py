"""The two-tower model and its loss as a `tfrs.Model`."""

import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.core.sequences import PADDING
from components.core.vocabulary import UNKNOWN
from components.train.distribution import replica_number
from components.train.halves import split_rows
from components.train.objectives import LossInputs, make_loss
from components.train.parameters import TrainParameters
from components.train.pointer import OwnItems, Pointer, own_features, own_items_of_positions, own_items_of_sessions
from components.train.successors import SuccessorTable
from components.train.towers import CandidateTower, derive_seed, make_query_tower, unit

SEEDS_PER_STEP = 16  # maximum number of different seeds per step
HALF_SEEDS = 1 << 19  # difference between the seeds of the halves of a batch
REPLICA_SEEDS = 1 << 20  # difference between the seeds of consecutive replicas

RunSteps = Callable[[Iterator[Mapping[str, tf.Tensor]]], dict[str, tf.Tensor]]


class TwoTower(tfrs.Model):
    """Query tower, candidate tower and a loss over the positions of a padded batch of sessions.

    Args:
        parameters: the training parameters.
        counts: [num_items] int64 number of events per item in the training sessions; entry i belongs to index i + 1.
        num_sessions: number of training sessions, the vocabulary size of the `session_id` tower.
        trend: [num_items] float32 added to each item's logits after training; None to add nothing.
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
        self.pointer = Pointer() if parameters.pointer else None
        self.successors = None
        if parameters.successor_half_count and not parameters.reads_session_ids:
            self.successors = SuccessorTable(
                counts,
                dimension=parameters.embedding_dim,
                half_count=parameters.successor_half_count,
                rate=parameters.input_dropout,
            )
        self.trend = None
        if trend is not None and trend.any():
            self.trend = tf.constant(np.append(0.0, parameters.temperature * trend), tf.float32)
        self.mean_loss = tf.keras.metrics.Mean(name="mean_loss")
        self.objective = make_loss(parameters, counts=counts, candidate_tower=self.candidate_tower)

    @property
    def parts(self) -> dict[str, tf.keras.layers.Layer]:
        """The layers that hold all weights, by name."""
        layers = {
            "query_tower": self.query_tower,
            "candidate_tower": self.candidate_tower,
            "pointer": self.pointer,
            "successors": self.successors,
        }
        return {name: layer for name, layer in layers.items() if layer is not None}

    def build_variables(self) -> None:
        """Creates all variables now; layers would otherwise create them on their first call."""
        self.embed_queries(tf.zeros([1], tf.int32), tf.ones([1, 1], tf.int32))

    def embed_queries(self, session: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Returns query embeddings [batch_size, length, embedding_dim]; position i reads items 0 to i."""
        return self._embed_queries(session, items, self.candidate_tower(items))

    def _embed_queries(
        self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        embeddings = tf.cast(embeddings, self.query_tower.compute_dtype)
        if seed is None:
            queries = self.query_tower(session, items, embeddings, None)
        elif self.parameters.jit_compile:
            queries = tf.function(self.query_tower, jit_compile=True)(session, items, embeddings, seed)
        else:
            halves = enumerate(zip(*map(split_rows, (session, items, embeddings)), strict=True))
            seeds_between = tf.constant([HALF_SEEDS, 0])
            queries = tf.concat([self.query_tower(*half, seed + n * seeds_between) for n, half in halves], axis=0)
        queries = tf.cast(queries, tf.float32)
        if self.successors is not None:
            queries += self.successors(items, seed)
        return unit(queries) if self.parameters.normalize else queries

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.int32)]
    )
    def embed_positions(self, session: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Runs `embed_queries` at inference as one graph for all batch shapes; appends the trend coordinate, 1."""
        queries = self.embed_queries(session, items)
        return queries if self.trend is None else tf.concat([queries, tf.ones_like(queries[..., :1])], axis=-1)

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.int32)]
    )
    def score_positions(self, session: tf.Tensor, items: tf.Tensor) -> tuple[tf.Tensor, OwnItems, tf.Tensor]:
        """Returns all positions' queries, own items and what to add to their scores, [batch_size, length, length]."""
        queries, own, logits = self._read_positions(session, items)
        bonus = tf.zeros_like(logits) if self.pointer is None else self.pointer(logits, own)
        return queries, own, self.parameters.temperature * bonus

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.int32)]
    )
    def describe_positions(
        self, session: tf.Tensor, items: tf.Tensor
    ) -> tuple[tf.Tensor, OwnItems, tf.Tensor, tf.Tensor]:
        """Describes the own items of all positions, for the calibration of the pointer.

        Returns:
            The query embeddings [batch_size, length, dimension], the own items, their logits [batch_size, length,
            length] and their features [batch_size, length, length, NUM_FEATURES].
        """
        queries, own, logits = self._read_positions(session, items)
        return queries, own, logits, own_features(logits, own)

    def _read_positions(self, session: tf.Tensor, items: tf.Tensor) -> tuple[tf.Tensor, OwnItems, tf.Tensor]:
        queries = self.embed_positions(session, items)
        logits = tf.matmul(queries, self.embed_items(items), transpose_b=True) / self.parameters.temperature
        return queries, own_items_of_positions(items), logits

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.int32)]
    )
    def query(self, session: tf.Tensor, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads sessions up to their last item.

        Args:
            session: [batch_size] int32 index of a training session; 0 for any other session.
            items: [batch_size, length] int32 item indices, padded at the end.

        Returns:
            The query embeddings [batch_size, dimension], and what to add to the score of the item at each place
            [batch_size, length]: the pointer's bonus at the newest place of each known item, 0 elsewhere.
        """
        lengths = tf.reduce_sum(tf.cast(items != PADDING, tf.int32), axis=1)
        queries = tf.gather(self.embed_positions(session, items), tf.maximum(lengths - 1, 0), batch_dims=1)
        if self.pointer is None:
            return queries, tf.zeros_like(items, tf.float32)
        temperature = self.parameters.temperature
        logits = tf.linalg.matvec(self.embed_items(items), queries) / temperature
        return queries, temperature * self.pointer(logits, own_items_of_sessions(items, lengths))

    def embed_candidates(self) -> tf.Tensor:
        """Returns the candidate embeddings of all items, [num_items, dimension]; row i belongs to index i + 1."""
        return self.embed_items(tf.range(1, self.num_items + 1))

    def embed_items(self, items: tf.Tensor) -> tf.Tensor:
        """Returns candidate embeddings [..., dimension] of item indices [...]; appends the trend as a coordinate."""
        embeddings = self.candidate_tower(items)
        if self.trend is None:
            return embeddings
        return tf.concat([embeddings, tf.gather(self.trend, tf.maximum(items, UNKNOWN))[..., tf.newaxis]], axis=-1)

    def make_train_function(self, force: bool = False) -> RunSteps:
        """Creates the function that `fit` calls, once per `steps_per_execution` steps.

        Keras' own loop over several steps traces a step twice, which takes as long as a hundred steps.
        """
        num_steps = self._steps_per_execution
        if num_steps.numpy() == 1:
            self.train_function: RunSteps = super().make_train_function(force)
        elif force or self.train_function is None:
            self.train_function = tf.function(functools.partial(self._run_steps, num_steps), autograph=False)
        return self.train_function

    def _run_steps(self, num_steps: tf.Variable, batches: Iterator[Mapping[str, tf.Tensor]]) -> dict[str, tf.Tensor]:
        def run_step(number: tf.Tensor) -> tf.Tensor:
            self.train_step(next(batches))
            return number + 1

        tf.while_loop(lambda number: number < num_steps, run_step, [tf.constant(0, num_steps.dtype)])
        return {metric.name: metric.result() for metric in self.metrics}

    @tf.autograph.experimental.do_not_convert
    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Sums the loss over the targets of a `Batch`, or of one replica's share of it.

        All replicas draw the same negatives; each draws its own masks and dropout.
        """
        step = tf.cast(self.optimizer.iterations, tf.int32)
        shared_seed = tf.stack([self.parameters.random_seed, SEEDS_PER_STEP * step])
        seed = shared_seed + REPLICA_SEEDS * tf.stack([replica_number(), 0])
        items, targets = inputs["items"], inputs["targets"]
        sequence = _append_target(items, targets)
        embeddings = self.candidate_tower(sequence)
        read = tf.slice(embeddings, [0, 0, 0], [-1, tf.shape(items)[1], -1])  # on CPUs, [:-1] has a slow gradient
        if training and self.parameters.mask_rate:
            draws = tf.random.stateless_uniform(tf.shape(items), derive_seed(seed, SEEDS_PER_STEP - 1))
            masked = (draws < self.parameters.mask_rate) & (items != PADDING)
            items = tf.where(masked, UNKNOWN, items)
            read = tf.where(masked[:, :, tf.newaxis], self.candidate_tower(UNKNOWN), read)
        queries = self._embed_queries(inputs["session"], items, read, seed if training else None)
        own = own_items_of_positions(inputs["items"])
        logits = tf.matmul(queries, embeddings, transpose_b=True) / self.parameters.temperature
        own_logits = tf.slice(logits, [0, 0, 0], [-1, -1, tf.shape(items)[1]])
        loss = self.objective(
            LossInputs(
                queries=queries,
                targets=targets,
                sequence=sequence,
                sequence_embeddings=embeddings,
                sequence_logits=logits,
                is_own=own.is_own,
                bonus=None if self.pointer is None else self.pointer(own_logits, own, training=True),
                seed=derive_seed(shared_seed, SEEDS_PER_STEP - 2),
            )
        )
        num_targets = tf.reduce_sum(tf.cast(targets > UNKNOWN, tf.float32))
        self.mean_loss.update_state(loss / tf.maximum(num_targets, 1.0), sample_weight=num_targets)
        return loss


def _append_target(items: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Returns [batch_size, length + 1]: each row's items, then its last target, then PADDING."""
    num_items = tf.reduce_sum(tf.cast(items != PADDING, tf.int32), axis=1, keepdims=True)
    last = tf.gather(targets, tf.maximum(num_items - 1, 0), batch_dims=1)
    padded = tf.pad(items, [[0, 0], [0, 1]], constant_values=PADDING)
    return tf.where(tf.range(tf.shape(padded)[1]) == num_items, last, padded)
