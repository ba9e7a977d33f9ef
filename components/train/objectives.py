"""The losses by name.

A loss is created once per training, as `Loss(parameters, counts=counts, candidate_tower=candidate_tower)`, and called
once per step with `LossInputs`. It returns the sum over the targets.
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

SAMPLING_EXPONENT = 0.75  # sampling probability of a negative is proportional to count ** SAMPLING_EXPONENT
SCORE_REGULARIZATION = 1.0  # weight of the score regularisation of BPR-max

Counts = npt.NDArray[np.int64]
Embed = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True, kw_only=True)
class LossInputs:
    """Inputs of a loss: one batch of sessions and its query embeddings.

    Attributes:
        queries: [batch_size, length, embedding_dim] query embedding at each position.
        targets: [batch_size, length] int32 next item at each position; UNKNOWN and PADDING are not scored.
        sequence: [batch_size, length + 1] int32 items of each session, followed by its last target.
        sequence_embeddings: [batch_size, length + 1, embedding_dim] candidate embeddings of `sequence`.
        sequence_logits: [batch_size, length, length + 1] dot product of each query and each item of `sequence`, divided
            by the temperature.
        is_own: [batch_size, length, length] bool, from `OwnItems`.
        bonus: [batch_size, length, length] what the pointer adds to the logits of own items; None without a pointer.
        seed: [2] int32 random seed, equal on all replicas.
    """

    queries: tf.Tensor
    targets: tf.Tensor
    sequence: tf.Tensor
    sequence_embeddings: tf.Tensor
    sequence_logits: tf.Tensor
    is_own: tf.Tensor
    bonus: tf.Tensor | None
    seed: tf.Tensor

    def select(self, values: tf.Tensor) -> tf.Tensor:
        """Selects the scored positions: [batch_size, length, ...] -> [num_targets, ...]."""
        return tf.boolean_mask(values, self.targets > UNKNOWN)

    @property
    def positives(self) -> tf.Tensor:
        """Candidate embeddings of the targets, [num_targets, embedding_dim]."""
        place = tf.where(self.targets > UNKNOWN) + tf.constant([0, 1], tf.int64)
        return tf.gather_nd(self.sequence_embeddings, place)

    @property
    def positive_bonus(self) -> tf.Tensor:
        """What the pointer adds to the logits of the targets, [num_targets]; 0 for a target that is not an own item."""
        if self.bonus is None:
            return tf.zeros_like(self.select(self.targets), tf.float32)
        is_target = self.is_own & (self.sequence[:, tf.newaxis, :-1] == self.targets[:, :, tf.newaxis])
        return self.select(tf.reduce_sum(tf.where(is_target, self.bonus, 0.0), axis=2))


Loss = Callable[[LossInputs], tf.Tensor]


class InBatchSoftmax:
    """Softmax of each target over all targets of the batch, across replicas."""

    def __init__(self, parameters: TrainParameters, *, counts: Counts, candidate_tower: Embed) -> None:
        self.parameters = parameters
        self.popularity = losses.sampling_distribution(counts, 1.0)
        task = tfrs.tasks.Retrieval(
            temperature=parameters.temperature,
            num_hard_negatives=parameters.num_hard_negatives or None,
            remove_accidental_hits=parameters.remove_accidental_hits,
        )
        self.task = tf.function(task)  # its code needs AutoGraph, which `TwoTower.compute_loss` turns off

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
        cells, bonus = tf.zeros([0, 2], tf.int32), tf.zeros([0])
        if inputs.bonus is not None:
            is_own = inputs.select(inputs.is_own)
            where = tf.cast(tf.where(is_own), tf.int32)
            items = inputs.select(tf.broadcast_to(inputs.sequence[:, tf.newaxis, :-1], tf.shape(inputs.is_own)))
            cells = tf.stack([where[:, 0], tf.boolean_mask(items, is_own) - 1], axis=1)
            bonus = tf.boolean_mask(inputs.select(inputs.bonus), is_own)
        return losses.full_softmax(
            inputs.select(inputs.queries),
            self.candidate_tower(tf.range(1, self.num_items + 1)),
            positive_ids=inputs.select(inputs.targets),
            temperature=self.temperature,
            bonus_cells=cells,
            bonus=bonus,
        )


class SampledSoftmax:
    """Softmax of each target over negatives sampled per batch and, with `session_negatives`, the items of its session.

    With `correct_sampling`, the term exp(s) of each sampled item is divided by the item's inclusion probability, so
    that the terms estimate the sum over the whole catalogue without the target; otherwise each term has weight 1.

    With `session_negatives`, the session's other items are present with probability 1. Those that the query has seen
    are masked among the samples, so they have weight 1 as in the softmax over the whole catalogue, and the pointer
    learns their logits without the noise of sampling. Those that come later are kept among the samples: with both
    terms, they are hard negatives of weight 2.
    """

    def __init__(self, parameters: TrainParameters, *, counts: Counts, candidate_tower: Embed) -> None:
        self.parameters = parameters
        self.candidate_tower = candidate_tower
        self.sampler = Sampler(counts, num_samples=parameters.num_negatives)

    def __call__(self, inputs: LossInputs) -> tf.Tensor:
        """See the module."""
        negative_ids = self.sampler.draw(inputs.seed)
        log_q = self.sampler.log_inclusion_probability(negative_ids)
        certain_logits, masked = None, None
        if self.parameters.session_negatives:
            certain_logits = inputs.select(make_session_logits(inputs))
            masked = find_sampled(inputs, negative_ids)
        return losses.sampled_softmax(
            inputs.select(inputs.queries),
            inputs.positives,
            self.candidate_tower(negative_ids),
            positive_ids=inputs.select(inputs.targets),
            negative_ids=negative_ids,
            negative_log_q=log_q if self.parameters.correct_sampling else tf.zeros_like(log_q),
            temperature=self.parameters.temperature,
            positive_bonus=inputs.positive_bonus,
            certain_logits=certain_logits,
            masked=masked,
            is_cosine=self.parameters.normalize,
        )


class BprMax:
    """BPR-max of each target against negatives sampled per batch."""

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
    """Creates the loss selected by `parameters.loss`.

    Args:
        parameters: the training parameters.
        counts: [num_items] number of events per item in the training sessions; entry i belongs to index i + 1.
        candidate_tower: embeds item indices of any shape.
    """
    return LOSSES[parameters.loss](parameters, counts=counts, candidate_tower=candidate_tower)


class Sampler:
    """Samples the negatives that all targets of a batch share.

    Args:
        counts: [num_items] number of events per item.
        num_samples: number of draws per batch, with replacement.
    """

    def __init__(self, counts: Counts, *, num_samples: int) -> None:
        self.num_samples = num_samples
        self.probability = losses.sampling_distribution(counts, SAMPLING_EXPONENT)
        self.cumulative = tf.cumsum(self.probability)

    def draw(self, seed: tf.Tensor) -> tf.Tensor:
        """Samples item indices, [num_distinct] int32, distinct and ascending."""
        return tf.unique(tf.sort(losses.sample_items(self.cumulative, self.num_samples, seed)))[0]

    def log_inclusion_probability(self, item_ids: tf.Tensor) -> tf.Tensor:
        """Returns the log probability, [...] float32, that each item [...] is sampled at least once per batch."""
        return losses.log_inclusion_probability(tf.gather(self.probability, item_ids - 1), self.num_samples)


def make_session_logits(inputs: LossInputs) -> tf.Tensor:
    """Returns the logits of each session's own items as negatives; repeated items count once.

    They are separate from the sampled negatives because they are present with probability 1, so no correction for
    sampling by popularity applies. An item that the query has seen stands at its newest place and includes the bonus of
    the pointer; an item that comes later stands at its first place.

    Returns:
        [batch_size, length, length + 1]; MASKED for unknown items, padding and the position's target.
    """
    sequence, place = inputs.sequence, tf.range(tf.shape(inputs.sequence)[1])
    same = sequence[:, :, tf.newaxis] == sequence[:, tf.newaxis, :]
    first = tf.reduce_min(tf.where(same, place, tf.size(place)), axis=2)
    is_later = (first == place)[:, tf.newaxis, :] & (place > place[:-1, tf.newaxis])
    is_negative = tf.pad(inputs.is_own, [[0, 0], [0, 0], [0, 1]]) | is_later
    is_negative &= (sequence > UNKNOWN)[:, tf.newaxis, :] & (
        sequence[:, tf.newaxis, :] != inputs.targets[:, :, tf.newaxis]
    )
    logits = inputs.sequence_logits
    if inputs.bonus is not None:
        logits += tf.pad(inputs.bonus, [[0, 0], [0, 0], [0, 1]])
    return tf.where(is_negative, logits, losses.MASKED)


def find_sampled(inputs: LossInputs, negative_ids: tf.Tensor) -> tf.Tensor:
    """Returns [target, column] of each sample that is an own item of the target's query, [num_hits, 2] int32.

    Args:
        inputs: the inputs of the loss.
        negative_ids: [num_samples] int32 item indices, distinct and ascending.
    """
    columns = losses.find_columns(inputs.sequence[:, :-1], negative_ids)
    return losses.find_hits(inputs.select(tf.where(inputs.is_own, columns[:, tf.newaxis, :], -1)))
