"""Losses over query and candidate embeddings. All of them sum over the targets of the batch, as TFRS does."""

from collections.abc import Callable

import tensorflow as tf

MASKED = -1e9  # a logit whose share of any softmax is exactly 0 in float32
SAMPLING_EXPONENT = 0.75  # of the counts, for negatives
SCORE_REGULARIZATION = 1.0  # of bpr_max


def sampling_distribution(counts: tf.Tensor, exponent: float) -> tf.Tensor:
    """[num_items] float64 probabilities in proportion to counts ** exponent.

    Mikolov et al. 2013 ("Distributed Representations of Words and Phrases", section 2.2) found 0.75 to be best
    for negatives; 0 is uniform, 1 is the popularity itself.
    """
    weights = tf.cast(counts, tf.float64) ** exponent
    return weights / tf.reduce_sum(weights)


def sample_items(cumulative: tf.Tensor, num_samples: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws item indices with replacement.

    Args:
        cumulative: [num_items] float64 cumulative probabilities; entry i belongs to index i + 1.
        num_samples: how many.
        seed: [2] int32; the same seed draws the same items.

    Returns:
        [num_samples] int32 item indices from 1.
    """
    uniform = tf.random.stateless_uniform([num_samples], seed, dtype=tf.float64)
    drawn = tf.searchsorted(cumulative, uniform, side="right")
    return tf.minimum(drawn, tf.shape(cumulative)[0] - 1) + 1


def log_inclusion_probability(probability: tf.Tensor, num_samples: int) -> tf.Tensor:
    """Log of 1 - (1 - q) ** n, the probability that n draws with replacement hit an item at least once.

    Args:
        probability: [...] q, float64.
        num_samples: n.

    Returns:
        [...] float32.
    """
    return tf.cast(tf.math.log(-tf.math.expm1(num_samples * tf.math.log1p(-probability))), tf.float32)


def sampled_softmax(
    queries: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    *,
    positive_ids: tf.Tensor,
    negative_ids: tf.Tensor,
    negative_log_q: tf.Tensor,
    temperature: float,
    certain_logits: tf.Tensor | None = None,
) -> tf.Tensor:
    """Softmax over a target, samples that all targets share and, if given, items that are negatives for certain.

    The loss of a target is -log(exp(s+) / Z) with

        Z = exp(s+) + sum_j exp(s_j) / q_j + sum_c exp(s_c)

    over the samples j other than the target, and over `certain_logits` c. With q_j the probability of being sampled,
    the first sum estimates the one over the whole catalogue without the target (Horvitz & Thompson 1952; as an
    estimate of the softmax's gradient, Bengio & Senecal 2008, "Adaptive Importance Sampling to Accelerate Training of
    a Neural Probabilistic Language Model"). The second sum comes on top: an item of the catalogue that is also certain
    has weight 2 on average.

    Args:
        queries: [num_targets, embedding_dim].
        positives: [num_targets, embedding_dim], the targets' embeddings.
        negatives: [num_samples, embedding_dim], shared by all targets.
        positive_ids: [num_targets] int32.
        negative_ids: [num_samples] int32, distinct and ascending.
        negative_log_q: [num_samples] log q.
        temperature: divides the scores.
        certain_logits: [num_targets, num_certain] s_c; MASKED where there is none, and where the item is the target.

    Returns:
        [] sum over the targets.
    """
    positive_logits = tf.reduce_sum(queries * positives, axis=1, keepdims=True) / temperature
    hits = _find_hits(positive_ids, negative_ids)
    sampled_part = _log_weighted_sum_exp(queries / temperature, negatives, tf.exp(-negative_log_q), hits)
    certain = [positive_logits] if certain_logits is None else [positive_logits, certain_logits]
    certain_part = tf.reduce_logsumexp(tf.concat(certain, axis=1), axis=1)
    partition = certain_part + tf.math.softplus(sampled_part - certain_part)
    return tf.reduce_sum(partition - positive_logits[:, 0])


def _find_hits(positive_ids: tf.Tensor, negative_ids: tf.Tensor) -> tf.Tensor:
    """[num_hits, 2] int32 row and column of each negative that is the row's positive; the negatives' ids ascend."""
    column = tf.minimum(tf.searchsorted(negative_ids, positive_ids), tf.size(negative_ids) - 1)
    row = tf.cast(tf.where(tf.gather(negative_ids, column) == positive_ids)[:, 0], tf.int32)
    return tf.stack([row, tf.gather(column, row)], axis=1)


@tf.custom_gradient
def _log_weighted_sum_exp(
    queries: tf.Tensor, candidates: tf.Tensor, weights: tf.Tensor, masked: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, None, None]]]:
    """[num_queries] log sum_j weights[j] exp(queries[i] . candidates[j]), without the i, j that `masked` names.

    The table of products is by far the largest there is, so it is passed over as seldom as can be: the weights join the
    sum and not the exponents, and the scale of each row's gradient the factors of its products.
    """
    logits = tf.matmul(queries, candidates, transpose_b=True)
    logits = tf.tensor_scatter_nd_update(logits, masked, tf.fill([tf.shape(masked)[0]], MASKED))
    highest = tf.reduce_max(logits, axis=1, keepdims=True)
    exponentials = tf.exp(logits - highest)
    column = weights[:, tf.newaxis]
    total = tf.matmul(exponentials, column)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None, None]:
        row = upstream[:, tf.newaxis] / total
        by_queries = row * tf.matmul(exponentials, column * candidates)
        by_candidates = column * tf.matmul(exponentials, row * queries, transpose_a=True)
        return by_queries, by_candidates, None, None

    return (tf.math.log(total) + highest)[:, 0], gradient


def full_softmax(
    queries: tf.Tensor, candidates: tf.Tensor, *, positive_ids: tf.Tensor, temperature: float
) -> tf.Tensor:
    """Softmax over the whole catalogue.

    Args:
        queries: [num_targets, embedding_dim].
        candidates: [num_items, embedding_dim], row i for index i + 1.
        positive_ids: [num_targets] int32 from 1.
        temperature: divides the scores.

    Returns:
        [] sum over the targets.
    """
    logits = tf.matmul(queries / temperature, candidates, transpose_b=True)
    return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(positive_ids - 1, logits))


def bpr_max(
    queries: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    *,
    positive_ids: tf.Tensor,
    negative_ids: tf.Tensor,
    regularization: float,
) -> tf.Tensor:
    """BPR-max with score regularisation (Hidasi & Karatzoglou 2018, "Recurrent Neural Networks with Top-k Gains").

    -log sum_j softmax(r_j) sigmoid(r_i - r_j) + regularization * sum_j softmax(r_j) r_j ** 2, the softmax over
    the negatives; a negative that is the target has no share in it.

    Args:
        queries: [num_targets, embedding_dim].
        positives: [num_targets, embedding_dim].
        negatives: [num_samples, embedding_dim].
        positive_ids: [num_targets] int32.
        negative_ids: [num_samples] int32.
        regularization: the weight of the score regularisation.

    Returns:
        [] sum over the targets.
    """
    positive_scores = tf.reduce_sum(queries * positives, axis=1, keepdims=True)
    scores = tf.matmul(queries, negatives, transpose_b=True)
    log_share = tf.nn.log_softmax(tf.where(positive_ids[:, tf.newaxis] == negative_ids, MASKED, scores))
    log_wins = tf.reduce_logsumexp(log_share + tf.math.log_sigmoid(positive_scores - scores), axis=1)
    penalty = tf.reduce_sum(tf.exp(log_share) * scores**2, axis=1)
    return tf.reduce_sum(regularization * penalty - log_wins)
