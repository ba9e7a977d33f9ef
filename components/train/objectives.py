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
        seed: [2] int32 random seed, equal on all replicas.
    """

    queries: tf.Tensor
    targets: tf.Tensor
    sequence: tf.Tensor
    sequence_embeddings: tf.Tensor
    seed: tf.Tensor

    def select(self, values: tf.Tensor) -> tf.Tensor:
        """Selects the scored positions: [batch_size, length, ...] -> [num_targets, ...]."""
        return tf.boolean_mask(values, self.targets > UNKNOWN)

    @property
    def positives(self) -> tf.Tensor:
        """Candidate embeddings of the targets, [num_targets, embedding_dim]."""
        return self.select(self.sequence_embeddings[:, 1:])


Loss = Callable[[LossInputs], tf.Tensor]


class InBatchSoftmax:
    """Softmax of each target over all targets of the batch, across replicas."""

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
    """Softmax of each target over negatives sampled per batch and, with `session_negatives`, the items of its session.

    With `correct_sampling`, the term exp(s) of each sampled item is divided by the item's inclusion probability, so
    that the terms estimate the sum over the whole catalogue without the target; otherwise each term has weight 1. The
    session's other items are added with weight 1 each, whether they were sampled or not. With both options, the
    expected partition function is

        exp(s_target) + sum over all other items of exp(s) + sum over the session's other items of exp(s)

    so the session's other items, which are the hardest negatives, have weight 2. Masking them among the sampled items
    would give them weight 1; recall and MRR are the same either way (docs/experiments.md).
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

    Raises:
        ValueError: no loss has that name.
    """
    if parameters.loss not in LOSSES:
        raise ValueError(f"Expected loss to be one of {', '.join(LOSSES)}. Received: {parameters.loss!r}")
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


def make_session_logits(inputs: LossInputs, *, temperature: float) -> tf.Tensor:
    """Returns the logits of each session's own items as negatives; repeated items count once.

    They are separate from the sampled negatives because they are present with probability 1, so no correction for
    sampling by popularity applies.

    Returns:
        [batch_size, length, length + 1]; MASKED for unknown items, padding and the position's target.
    """
    sequence = inputs.sequence
    same = sequence[:, :, tf.newaxis] == sequence[:, tf.newaxis, :]
    count = tf.reduce_sum(tf.cast(same, tf.float32), axis=2)
    logits = tf.matmul(inputs.queries, inputs.sequence_embeddings, transpose_b=True) / temperature
    is_target = sequence[:, tf.newaxis, :] == inputs.targets[:, :, tf.newaxis]
    is_negative = (sequence > UNKNOWN)[:, tf.newaxis, :] & ~is_target
    return tf.where(is_negative, logits - tf.math.log(count)[:, tf.newaxis, :], losses.MASKED)
