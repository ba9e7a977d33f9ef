"""The losses by name: what each of them compares the targets of a batch with.

A loss is made once a training, as `Loss(parameters, counts=counts, candidate_tower=candidate_tower)`, and called once
a step with `LossInputs`. It returns the sum over the targets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.core.vocabulary import UNKNOWN
from components.train import loss as losses
from components.train.distribution import gather_replicas
from components.train.parameters import TrainParameters

SAMPLING_EXPONENT = 0.75  # negatives are drawn in proportion to count ** SAMPLING_EXPONENT
SCORE_REGULARIZATION = 1.0  # weight of the score regularisation of BPR-max

Counts = npt.NDArray[np.int64]
Embed = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True, kw_only=True)
class LossInputs:
    """One batch of sessions with their queries.

    Attributes:
        queries: [batch_size, length, embedding_dim], the query at each position.
        targets: [batch_size, length] int32, the item that follows; UNKNOWN or PADDING where no target is scored.
        sequence: [batch_size, length + 1] int32, the items of each session with its last target.
        sequence_embeddings: [batch_size, length + 1, embedding_dim], the candidate tower's of `sequence`.
        seed: [2] int32, the same for all replicas.
    """

    queries: tf.Tensor
    targets: tf.Tensor
    sequence: tf.Tensor
    sequence_embeddings: tf.Tensor
    seed: tf.Tensor

    def select(self, values: tf.Tensor) -> tf.Tensor:
        """Keeps the scored positions: [batch_size, length, ...] to [num_targets, ...]."""
        return tf.boolean_mask(values, self.targets > UNKNOWN)

    @property
    def positives(self) -> tf.Tensor:
        """[num_targets, embedding_dim] candidate embeddings of the targets."""
        return self.select(self.sequence_embeddings[:, 1:])


Loss = Callable[[LossInputs], tf.Tensor]


class InBatchSoftmax:
    """Softmax of each target over the targets of the whole batch, those of all replicas included."""

    def __init__(self, parameters: TrainParameters, *, counts: Counts, candidate_tower: Embed) -> None:
        self.parameters = parameters
        self.popularity = losses.sampling_distribution(counts, 1.0)
        self.task = tfrs.tasks.Retrieval(
            temperature=parameters.temperature,
            num_hard_negatives=parameters.num_hard_negatives or None,
            remove_accidental_hits=parameters.remove_accidental_hits,
        )

    def __call__(self, inputs: LossInputs) -> tf.Tensor:
        """See the module."""
        targets = inputs.select(inputs.targets)
        probability = tf.cast(tf.gather(self.popularity, targets - 1), tf.float32)
        return self.task(
            inputs.select(inputs.queries),
            gather_replicas(inputs.positives),
            candidate_sampling_probability=gather_replicas(probability) if self.parameters.correct_sampling else None,
            candidate_ids=gather_replicas(targets) if self.parameters.remove_accidental_hits else None,
            compute_metrics=False,
        )


class FullSoftmax:
    """Softmax of each target over the whole catalogue."""

    def __init__(self, parameters: TrainParameters, *, counts: Counts, candidate_tower: Embed) -> None:
        self.temperature = parameters.temperature
        self.num_items = len(counts)
        self.candidate_tower = candidate_tower

    def __call__(self, inputs: LossInputs) -> tf.Tensor:
        """See the module."""
        return losses.full_softmax(
            inputs.select(inputs.queries),
            self.candidate_tower(tf.range(1, self.num_items + 1)),
            positive_ids=inputs.select(inputs.targets),
            temperature=self.temperature,
        )


class SampledSoftmax:
    """Softmax of each target over items drawn for the batch and, with `session_negatives`, those of its own session.

    With `correct_sampling` each drawn item is divided by its probability of being drawn, so that they estimate the sum
    over the whole catalogue without the target; without it each of them has weight 1. The session's other items are
    added with weight 1 each, whether they were drawn or not. So with both, the partition function is on average

        exp(s_target) + sum over all other items of exp(s) + sum over the session's other items of exp(s)

    and the session's other items, which its targets are most easily mistaken for, have weight 2. To mask them among the
    drawn items would give them weight 1; recall and MRR are the same with either (docs/experiments.md).
    """

    def __init__(self, parameters: TrainParameters, *, counts: Counts, candidate_tower: Embed) -> None:
        self.parameters = parameters
        self.candidate_tower = candidate_tower
        self.sampler = Sampler(counts, num_samples=parameters.num_negatives)

    def __call__(self, inputs: LossInputs) -> tf.Tensor:
        """See the module."""
        negative_ids = self.sampler.draw(inputs.seed)
        log_q = self.sampler.log_inclusion_probability(negative_ids)
        certain_logits = None
        if self.parameters.session_negatives:
            certain_logits = inputs.select(make_session_logits(inputs, temperature=self.parameters.temperature))
        return losses.sampled_softmax(
            inputs.select(inputs.queries),
            inputs.positives,
            self.candidate_tower(negative_ids),
            positive_ids=inputs.select(inputs.targets),
            negative_ids=negative_ids,
            negative_log_q=log_q if self.parameters.correct_sampling else tf.zeros_like(log_q),
            temperature=self.parameters.temperature,
            certain_logits=certain_logits,
        )


class BprMax:
    """BPR-max of each target against items drawn for the batch."""

    def __init__(self, parameters: TrainParameters, *, counts: Counts, candidate_tower: Embed) -> None:
        self.temperature = parameters.temperature
        self.candidate_tower = candidate_tower
        self.sampler = Sampler(counts, num_samples=parameters.num_negatives)

    def __call__(self, inputs: LossInputs) -> tf.Tensor:
        """See the module."""
        negative_ids = self.sampler.draw(inputs.seed)
        return losses.bpr_max(
            inputs.select(inputs.queries) / self.temperature,
            inputs.positives,
            self.candidate_tower(negative_ids),
            positive_ids=inputs.select(inputs.targets),
            negative_ids=negative_ids,
            regularization=SCORE_REGULARIZATION,
        )


LOSSES: dict[str, Callable[..., Loss]] = {
    "in_batch": InBatchSoftmax,
    "sampled": SampledSoftmax,
    "full": FullSoftmax,
    "bpr_max": BprMax,
}


def make_loss(parameters: TrainParameters, *, counts: Counts, candidate_tower: Embed) -> Loss:
    """Makes the loss that the parameters name.

    Args:
        parameters: give its name and its settings.
        counts: [num_items] events of each item in the training sessions, entry i for index i + 1.
        candidate_tower: embeds item indices of any shape.

    Raises:
        ValueError: there is no loss of that name.
    """
    if parameters.loss not in LOSSES:
        raise ValueError(f"Expected loss to be one of {', '.join(LOSSES)}. Received: {parameters.loss!r}")
    return LOSSES[parameters.loss](parameters, counts=counts, candidate_tower=candidate_tower)


class Sampler:
    """Draws the negatives that all targets of a batch share.

    Args:
        counts: [num_items] events of each item.
        num_samples: draws a batch, with replacement.
    """

    def __init__(self, counts: Counts, *, num_samples: int) -> None:
        self.num_samples = num_samples
        self.probability = losses.sampling_distribution(counts, SAMPLING_EXPONENT)
        self.cumulative = tf.cumsum(self.probability)

    def draw(self, seed: tf.Tensor) -> tf.Tensor:
        """[num_distinct] int32 item indices, distinct and ascending."""
        return tf.unique(tf.sort(losses.sample_items(self.cumulative, self.num_samples, seed)))[0]

    def log_inclusion_probability(self, item_ids: tf.Tensor) -> tf.Tensor:
        """[...] float32 log probability that an item [...] is among the drawn ones."""
        return losses.log_inclusion_probability(tf.gather(self.probability, item_ids - 1), self.num_samples)


def make_session_logits(inputs: LossInputs, *, temperature: float) -> tf.Tensor:
    """Logits of each session's own items, each item counted once.

    Among the in-batch negatives they would be weighted as if they were drawn by popularity, though a session's items
    are always in their own batch.

    Returns:
        [batch_size, length, length + 1]; MASKED for padding and for the position's own target.
    """
    sequence = inputs.sequence
    same = sequence[:, :, tf.newaxis] == sequence[:, tf.newaxis, :]
    count = tf.reduce_sum(tf.cast(same, tf.float32), axis=2)
    logits = tf.matmul(inputs.queries, inputs.sequence_embeddings, transpose_b=True) / temperature
    is_target = sequence[:, tf.newaxis, :] == inputs.targets[:, :, tf.newaxis]
    is_negative = (sequence > UNKNOWN)[:, tf.newaxis, :] & ~is_target
    return tf.where(is_negative, logits - tf.math.log(count)[:, tf.newaxis, :], losses.MASKED)
