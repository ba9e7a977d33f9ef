"""Losses over query and candidate embeddings. All of them sum over the targets of the batch, as TFRS does."""

import tensorflow as tf

MASKED = -1e9  # a logit whose share of any softmax is exactly 0 in float32


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


def sampled_softmax(
    queries: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    *,
    positive_ids: tf.Tensor,
    negative_ids: tf.Tensor,
    negative_log_q: tf.Tensor,
    temperature: float,
) -> tf.Tensor:
    """Softmax over a target and shared samples, each sample weighted to stand for the items it was drawn from.

    The partition function over the catalogue is estimated by exp(s+) + sum_j exp(s_j) / (n q_j): importance
    sampling with the target itself counted exactly (Bengio & Senecal 2008, "Adaptive Importance Sampling to
    Accelerate Training of a Neural Probabilistic Language Model"). A sample that is the target is masked.

    Args:
        queries: [num_targets, embedding_dim].
        positives: [num_targets, embedding_dim], the targets' embeddings.
        negatives: [num_samples, embedding_dim], shared by all targets.
        positive_ids: [num_targets] int32.
        negative_ids: [num_samples] int32.
        negative_log_q: [num_samples] log of the expected number of times the sample is drawn, n q_j.
        temperature: divides the scores.

    Returns:
        [] sum over the targets.
    """
    positive_logits = tf.reduce_sum(queries * positives, axis=1, keepdims=True) / temperature
    logits = tf.matmul(queries / temperature, negatives, transpose_b=True) - negative_log_q
    logits = tf.where(positive_ids[:, tf.newaxis] == negative_ids, MASKED, logits)
    partition = tf.reduce_logsumexp(tf.concat([positive_logits, logits], axis=1), axis=1)
    return tf.reduce_sum(partition - positive_logits[:, 0])


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
