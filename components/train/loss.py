"""Losses over query and candidate embeddings. Each returns the sum over the targets of the batch, as in TFRS."""

from collections.abc import Callable

import tensorflow as tf

from components.train.halves import split_rows

MASKED = -1e9  # logit of a masked item; its softmax probability is exactly 0 in float32
MAX_BOUND = 40.0  # of logits whose exponentials are summed as they are: with weights up to 1e20, their sum is finite
SMALLEST_SUM = 1e-30  # of exponentials with weights


def sampling_distribution(counts: tf.Tensor, exponent: float) -> tf.Tensor:
    """Returns probabilities proportional to counts ** exponent, [num_items] float64.

    Mikolov et al. 2013 ("Distributed Representations of Words and Phrases", section 2.2) found 0.75 to work
    best for negatives; 0 gives the uniform distribution, 1 the empirical popularity.
    """
    weights = tf.cast(counts, tf.float64) ** exponent
    return weights / tf.reduce_sum(weights)


def sample_items(cumulative: tf.Tensor, num_samples: int, seed: tf.Tensor) -> tf.Tensor:
    """Samples item indices with replacement.

    Args:
        cumulative: [num_items] float64 cumulative probabilities; entry i belongs to index i + 1.
        num_samples: number of draws.
        seed: [2] int32; the same seed gives the same items.

    Returns:
        [num_samples] int32 item indices from 1.
    """
    uniform = tf.random.stateless_uniform([num_samples], seed, dtype=tf.float64)
    drawn = tf.searchsorted(cumulative, uniform, side="right")
    return tf.minimum(drawn, tf.shape(cumulative)[0] - 1) + 1


def log_inclusion_probability(probability: tf.Tensor, num_samples: int) -> tf.Tensor:
    """Returns log(1 - (1 - q) ** n): n draws with replacement include an item at least once.

    Args:
        probability: [...] float64, probability q of an item per draw.
        num_samples: number of draws n.

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
    positive_bonus: tf.Tensor | float = 0.0,
    certain_logits: tf.Tensor | None = None,
    masked: tf.Tensor | None = None,
    is_cosine: bool = False,
) -> tf.Tensor:
    """Softmax over the target, shared sampled negatives and, if given, certain (not sampled) negatives.

    The loss of a target is -log(exp(s+) / Z) with

        Z = exp(s+) + sum_j exp(s_j) / q_j + sum_c exp(s_c)

    where j runs over the samples other than the target and those in `masked`, and c over `certain_logits`. With q_j the
    inclusion probability, the first sum is an unbiased estimate of the sum over the whole catalogue without the target
    (Horvitz & Thompson 1952; as an estimate of the softmax gradient, Bengio & Senecal 2008, "Adaptive Importance
    Sampling to Accelerate Training of a Neural Probabilistic Language Model"). A certain negative that is not masked
    among the samples has expected weight 2.

    Args:
        queries: [num_targets, embedding_dim] query embeddings.
        positives: [num_targets, embedding_dim] candidate embeddings of the targets.
        negatives: [num_samples, embedding_dim] candidate embeddings of the samples, shared by all targets.
        positive_ids: [num_targets] int32 item indices.
        negative_ids: [num_samples] int32 item indices, distinct and ascending.
        negative_log_q: [num_samples] log q_j.
        temperature: softmax temperature; scores are divided by it.
        positive_bonus: [num_targets] added to the logits of the targets.
        certain_logits: [num_targets, num_certain] s_c; MASKED for missing items and for the target.
        masked: [num_masked, 2] int32 pairs of target and sample to leave out of the first sum.
        is_cosine: whether queries and negatives have length 1, so that their logits are bounded by 1 / temperature.

    Returns:
        [] sum over the targets.
    """
    positive_logits = (tf.reduce_sum(queries * positives, axis=1) / temperature + positive_bonus)[:, tf.newaxis]
    hits = find_hits(find_columns(positive_ids, negative_ids)[:, tf.newaxis])
    if masked is not None:
        hits = tf.concat([hits, masked], axis=0)
    is_bounded = is_cosine and temperature >= 1 / MAX_BOUND
    sampled_part = _log_weighted_sum_exp_of_halves(
        queries / temperature, negatives, tf.exp(-negative_log_q), hits, is_bounded=is_bounded
    )
    certain = [positive_logits] if certain_logits is None else [positive_logits, certain_logits]
    certain_part = tf.reduce_logsumexp(tf.concat(certain, axis=1), axis=1)
    partition = certain_part + tf.math.softplus(sampled_part - certain_part)
    return tf.reduce_sum(partition - positive_logits[:, 0])


def find_columns(item_ids: tf.Tensor, negative_ids: tf.Tensor) -> tf.Tensor:
    """Returns the position of each item [...] among the samples, int32; -1 if it is none of them.

    `negative_ids` must be distinct and ascending.
    """
    flat = tf.reshape(item_ids, [-1])
    column = tf.minimum(tf.searchsorted(negative_ids, flat), tf.size(negative_ids) - 1)
    return tf.reshape(tf.where(tf.gather(negative_ids, column) == flat, column, -1), tf.shape(item_ids))


def find_hits(columns: tf.Tensor) -> tf.Tensor:
    """Returns [row, column] of each entry of columns [num_rows, ...] that is not -1, [num_hits, 2] int32."""
    hit = tf.where(columns >= 0)
    return tf.stack([tf.cast(hit[:, 0], tf.int32), tf.gather_nd(columns, hit)], axis=1)


def _log_weighted_sum_exp_of_halves(
    queries: tf.Tensor, candidates: tf.Tensor, weights: tf.Tensor, masked: tf.Tensor, *, is_bounded: bool
) -> tf.Tensor:
    """As `_log_weighted_sum_exp`, computed in halves of the queries."""
    parts = split_rows(queries)
    if len(parts) == 1:
        return _log_weighted_sum_exp(queries, candidates, weights, masked, is_bounded=is_bounded)
    sums, begin = [], 0
    for part in parts:
        end = begin + tf.shape(part)[0]
        is_here = (masked[:, 0] >= begin) & (masked[:, 0] < end)
        here = tf.boolean_mask(masked, is_here) - [begin, 0]
        sums.append(_log_weighted_sum_exp(part, candidates, weights, here, is_bounded=is_bounded))
        begin = end
    return tf.concat(sums, axis=0)


def _log_weighted_sum_exp(
    queries: tf.Tensor, candidates: tf.Tensor, weights: tf.Tensor, masked: tf.Tensor, *, is_bounded: bool
) -> tf.Tensor:
    """Returns log sum_j weights[j] exp(queries[i] . candidates[j]) without the pairs (i, j) in `masked`, [num_queries].

    The matrix of dot products is by far the largest tensor, so the code minimises the number of passes over it: the
    weights are applied in the sum instead of in the exponents, each row's gradient scale is applied to the smaller
    factors of the matrix products, and with `is_bounded`, no dot product is so large that its row's maximum must be
    found and subtracted first.
    """

    @tf.custom_gradient
    def compute(
        queries: tf.Tensor, candidates: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        logits = tf.matmul(queries, candidates, transpose_b=True)
        logits = tf.tensor_scatter_nd_update(logits, masked, tf.fill([tf.shape(masked)[0]], MASKED))
        highest = tf.zeros([]) if is_bounded else tf.reduce_max(logits, axis=1, keepdims=True)
        exponentials = tf.exp(logits if is_bounded else logits - highest)
        column = weights[:, tf.newaxis]
        total = tf.maximum(tf.matmul(exponentials, column), SMALLEST_SUM)  # 0 where all candidates are masked

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            row = upstream[:, tf.newaxis] / total
            by_queries = row * tf.matmul(exponentials, column * candidates)
            by_candidates = column * tf.matmul(exponentials, row * queries, transpose_a=True)
            return by_queries, by_candidates

        return (tf.math.log(total) + highest)[:, 0], gradient

    result: tf.Tensor = compute(queries, candidates)
    return result


def full_softmax(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    *,
    positive_ids: tf.Tensor,
    temperature: float,
    bonus_cells: tf.Tensor,
    bonus: tf.Tensor,
) -> tf.Tensor:
    """Softmax over the whole catalogue.

    Args:
        queries: [num_targets, embedding_dim] query embeddings.
        candidates: [num_items, embedding_dim] candidate embeddings; row i belongs to index i + 1.
        positive_ids: [num_targets] int32 item indices from 1.
        temperature: softmax temperature; scores are divided by it.
        bonus_cells: [num_bonuses, 2] int32 pairs of a target and a row of `candidates`.
        bonus: [num_bonuses] added to the logits of these pairs.

    Returns:
        [] sum over the targets.
    """
    logits = tf.matmul(queries / temperature, candidates, transpose_b=True)
    logits = tf.tensor_scatter_nd_add(logits, bonus_cells, bonus)
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

    -log sum_j softmax(r_j) sigmoid(r_i - r_j) + regularization * sum_j softmax(r_j) r_j ** 2, with the softmax
    over the negatives j. Negatives equal to the target are masked.

    Args:
        queries: [num_targets, embedding_dim] query embeddings.
        positives: [num_targets, embedding_dim] candidate embeddings of the targets.
        negatives: [num_samples, embedding_dim] candidate embeddings of the samples.
        positive_ids: [num_targets] int32 item indices.
        negative_ids: [num_samples] int32 item indices.
        regularization: weight of the score regularisation.

    Returns:
        [] sum over the targets.
    """
    positive_scores = tf.reduce_sum(queries * positives, axis=1, keepdims=True)
    scores = tf.matmul(queries, negatives, transpose_b=True)
    log_share = tf.nn.log_softmax(tf.where(positive_ids[:, tf.newaxis] == negative_ids, MASKED, scores))
    log_wins = tf.reduce_logsumexp(log_share + tf.math.log_sigmoid(positive_scores - scores), axis=1)
    penalty = tf.reduce_sum(tf.exp(log_share) * scores**2, axis=1)
    return tf.reduce_sum(regularization * penalty - log_wins)
