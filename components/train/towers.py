"""The candidate tower and the query towers.

A query tower is created as `Tower(parameters, num_items=num_items, num_sessions=num_sessions)`, called as
`tower(session, items, embeddings, seed)`, and returns one query embedding per position:

    session: [batch_size] int32 index of a training session, from 1; 0 for any other session.
    items: [batch_size, length] int32 item indices, padded with PADDING at the end.
    embeddings: [batch_size, length, embedding_dim] candidate embeddings of the items, in the tower's precision.
    seed: [2] int32 dropout seed in training; None at inference.
    returns: [batch_size, length, embedding_dim]; position i depends only on the items 0 to i.

In training on a CPU, a tower is called with each half of a batch (halves.py).

The graphs are traced without AutoGraph, which would take longer than the rest: what depends on the value of a tensor
needs `tf.where`, `tf.cond` or `tf.while_loop`.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from components.core.vocabulary import UNKNOWN
from components.train.loss import MASKED
from components.train.parameters import MIN_RATE, NUM_HEADS, TrainParameters
from components.train.recurrent import make_gru

RANDOM_DTYPES = {8: tf.uint8, 16: tf.uint16, 32: tf.uint32}  # by number of bits
RATE_TOLERANCE = 0.02  # maximum relative error of the dropped share and of the kept share


def derive_seed(seed: tf.Tensor | None, number: int) -> tf.Tensor | None:
    """Derives the seed of another draw in the same step; `number` must be below SEEDS_PER_STEP."""
    return None if seed is None else seed + tf.constant([0, number])


def dropout(values: tf.Tensor, rate: float, seed: tf.Tensor | None) -> tf.Tensor:
    """Applies dropout that depends only on its seed, so that a resumed training equals an uninterrupted one.

    The dropped and the kept share are each within 2% (relative) of those given by `rate`; kept values are divided by
    the exact kept share. Each value uses one random number with 8, 16 or 32 bits, the fewest that are accurate enough:
    8-bit numbers take a quarter of the time of 32-bit numbers.

    Args:
        values: tensor of any shape.
        rate: share of values to drop: 0, or from MIN_RATE to 1 - MIN_RATE.
        seed: [2] int32; None for no dropout.
    """
    if seed is None or rate == 0:
        return values
    num_bits, num_dropped = _quantize_rate(rate)
    num_levels, num_per_word = 1 << num_bits, 32 // num_bits
    num_words = (tf.size(values) + num_per_word - 1) // num_per_word
    words = tf.random.stateless_uniform([num_words], seed, minval=None, maxval=None, dtype=tf.uint32)
    numbers = tf.reshape(tf.bitcast(words, RANDOM_DTYPES[num_bits]), [-1])
    random = tf.reshape(numbers[: tf.size(values)], tf.shape(values))
    return tf.where(random >= num_dropped, values * (num_levels / (num_levels - num_dropped)), 0.0)


def _quantize_rate(rate: float) -> tuple[int, int]:
    """Returns the number of bits of a random number, and how many of its values mean dropped."""
    for num_bits in RANDOM_DTYPES:
        num_dropped = round(rate * (1 << num_bits))
        if abs(num_dropped / (1 << num_bits) - rate) <= RATE_TOLERANCE * min(rate, 1 - rate):
            return num_bits, num_dropped
    raise ValueError(f"Expected a dropout rate of 0, or from {MIN_RATE} to {1 - MIN_RATE}. Received: {rate}")


@tf.custom_gradient
def unit(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """L2-normalises values [..., dim], with half the memory passes of `tf.math.l2_normalize`."""
    inverse = tf.math.rsqrt(tf.maximum(tf.reduce_sum(values**2, axis=-1, keepdims=True), 1e-12))
    units = values * inverse

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return (upstream - units * tf.reduce_sum(upstream * units, axis=-1, keepdims=True)) * inverse

    return units, gradient


class CandidateTower(tf.keras.layers.Layer):
    """Embeds item indices [...] as [..., embedding_dim], L2-normalised if `normalize`.

    PADDING is embedded as UNKNOWN.
    """

    def __init__(self, num_items: int, embedding_dim: int, *, normalize: bool) -> None:
        super().__init__()
        self.normalize = normalize
        self.table = self.add_weight(
            name="item_embeddings",
            shape=(num_items + 1, embedding_dim),
            initializer=tf.keras.initializers.RandomUniform(-0.05, 0.05),
        )

    def call(self, items: tf.Tensor) -> tf.Tensor:
        """Returns the candidate embeddings, which the query towers also read."""
        embeddings = tf.gather(self.table, tf.maximum(items, UNKNOWN))
        return unit(embeddings) if self.normalize else embeddings


class SessionIdTower(tf.keras.layers.Layer):
    """One embedding per session id, as in the original notebook; other sessions get the embedding of index 0."""

    def __init__(self, parameters: TrainParameters, *, num_items: int, num_sessions: int) -> None:
        super().__init__()
        self.embedding = tf.keras.layers.Embedding(num_sessions + 1, parameters.embedding_dim)

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        positions = tf.zeros_like(items)[:, :, tf.newaxis]
        return self.embedding(session)[:, tf.newaxis, :] + tf.cast(positions, self.compute_dtype)


class LastItemTower(tf.keras.layers.Layer):
    """Item-to-item model: looks up the newest item in a table separate from the candidate tower's."""

    def __init__(self, parameters: TrainParameters, *, num_items: int, num_sessions: int) -> None:
        super().__init__()
        self.dropout = parameters.dropout
        self.embedding = tf.keras.layers.Embedding(num_items + 1, parameters.embedding_dim)

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        return dropout(self.embedding(tf.maximum(items, UNKNOWN)), self.dropout, seed)


class MeanTower(tf.keras.layers.Layer):
    """Mean of the candidate embeddings of the session's items so far."""

    def __init__(self, parameters: TrainParameters, *, num_items: int, num_sessions: int) -> None:
        super().__init__()
        self.dropout = parameters.dropout

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        embeddings = dropout(embeddings, self.dropout, seed)
        count = tf.range(1, tf.shape(items)[1] + 1, dtype=tf.float32)
        return tf.cumsum(tf.cast(embeddings, tf.float32), axis=1) / count[:, tf.newaxis]


class GruTower(tf.keras.layers.Layer):
    """A GRU over the candidate embeddings (Hidasi et al. 2016, "Session-based Recommendations with RNNs")."""

    def __init__(self, parameters: TrainParameters, *, num_items: int, num_sessions: int) -> None:
        super().__init__()
        self.dropout = parameters.dropout
        self.gru = make_gru(parameters.embedding_dim, jit_compile=parameters.jit_compile)

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        return self.gru(dropout(embeddings, self.dropout, seed))


class GruAttentionTower(tf.keras.layers.Layer):
    """Sum of a projected GRU state and the candidate embeddings pooled by attention over the GRU states.

    As in NARM (Li et al. 2017, "Neural Attentive Session-based Recommendation"), the last state encodes the sequence
    and the attention encodes the main purpose of the session. Unlike NARM, the attention pools the item embeddings
    instead of the states, so that the query can point directly at an item of the session; a third of the targets are
    such items. The GRU input has its own, higher dropout rate: with the rate that suits the pooled embeddings, the GRU
    overfits.
    """

    def __init__(self, parameters: TrainParameters, *, num_items: int, num_sessions: int) -> None:
        super().__init__()
        dim = parameters.embedding_dim
        self.dropout = parameters.dropout
        self.input_dropout = parameters.input_dropout
        self.gru = make_gru(dim, jit_compile=parameters.jit_compile)
        self.state_projection = tf.keras.layers.Dense(dim, use_bias=False)
        self.pooling = CausalAttention(min(dim, 128), max_length=parameters.max_session_length)

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        scale = embeddings.shape[-1] ** 0.5  # scales the coordinates of unit vectors to about 1
        states = self.gru(dropout(embeddings, self.input_dropout, seed) * scale)
        states = dropout(states, self.dropout, derive_seed(seed, 1))
        pooled = self.pooling(states, dropout(embeddings, self.dropout, derive_seed(seed, 2)))
        return pooled + self.state_projection(states) / scale


class CausalAttention(tf.keras.layers.Layer):
    """Pools values with one causal attention head; initial weights decrease with the distance."""

    def __init__(self, key_dim: int, *, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length
        self.query = tf.keras.layers.Dense(key_dim, use_bias=False)
        self.key = tf.keras.layers.Dense(key_dim, use_bias=False)
        recency = -np.log1p(np.arange(max_length, dtype=np.float32))[:, np.newaxis]
        self.bias = self.add_weight(
            name="distance_bias", shape=(max_length, 1), initializer=tf.keras.initializers.Constant(recency)
        )

    def call(self, states: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Pools values [batch_size, length, dim] at each position, with weights from states of that shape."""
        queries, keys = tf.expand_dims(self.query(states), 1), tf.expand_dims(self.key(states), 1)
        return tf.matmul(tf.squeeze(attention_weights(queries, keys, self.bias), 1), values)


class AttentionTower(tf.keras.layers.Layer):
    """Pools the candidate embeddings with weights from causal self-attention.

    The query stays in the embedding space of the candidates, as in CORE (Hou et al. 2022, "CORE: Simple and Effective
    Session-based Recommendation within Consistent Representation Space"): a transformer block reads the session
    and outputs only the weights of the sum. Positions are relative to the query position.
    """

    def __init__(self, parameters: TrainParameters, *, num_items: int, num_sessions: int) -> None:
        super().__init__()
        dim, max_length = parameters.embedding_dim, parameters.max_session_length
        self.dropout = parameters.dropout
        self.head_dim = dim // NUM_HEADS
        self.projections = tf.keras.layers.Dense(3 * dim, use_bias=False)
        self.attended = tf.keras.layers.Dense(dim)
        self.hidden = tf.keras.layers.Dense(2 * dim, activation="relu")
        self.fed_forward = tf.keras.layers.Dense(dim)
        self.pooling = CausalAttention(dim, max_length=max_length)
        self.norms = [tf.keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(3)]
        self.distance_bias = self.add_weight(name="distance_bias", shape=(max_length, NUM_HEADS), initializer="zeros")

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module. PADDING needs no mask: it follows the items, and the attention is causal."""
        dim = embeddings.shape[-1]
        shape = tf.shape(embeddings)
        states = dropout(embeddings, self.dropout, seed) * dim**0.5
        heads = tf.reshape(self.projections(self.norms[0](states)), [shape[0], shape[1], 3, NUM_HEADS, self.head_dim])
        queries, keys, values = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))
        attended = tf.matmul(attention_weights(queries, keys, self.distance_bias), values)
        attended = self.attended(tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), shape))
        states += dropout(attended, self.dropout, derive_seed(seed, 1))
        fed_forward = self.fed_forward(self.hidden(self.norms[1](states)))
        states = self.norms[2](states + dropout(fed_forward, self.dropout, derive_seed(seed, 2)))
        return self.pooling(states, dropout(embeddings, self.dropout, derive_seed(seed, 3)))


def attention_weights(queries: tf.Tensor, keys: tf.Tensor, distance_bias: tf.Tensor) -> tf.Tensor:
    """Computes causal attention weights with a learned bias per distance between query and key.

    Args:
        queries: [batch_size, num_heads, length, head_dim].
        keys: [batch_size, num_heads, length, head_dim].
        distance_bias: [max_length, num_heads]; longer distances use the last row.

    Returns:
        [batch_size, num_heads, length, length], 0 where the key comes after the query.
    """
    logits = tf.matmul(queries, keys, transpose_b=True) * (queries.shape[-1] ** -0.5)
    length = tf.shape(logits)[-1]
    distance = tf.range(length)[:, tf.newaxis] - tf.range(length)
    bias = tf.gather(distance_bias, tf.clip_by_value(distance, 0, distance_bias.shape[0] - 1))
    return tf.nn.softmax(tf.where(distance >= 0, logits + tf.transpose(bias, [2, 0, 1]), MASKED))


QUERY_TOWERS: dict[str, Callable[..., tf.keras.layers.Layer]] = {
    "session_id": SessionIdTower,
    "last_item": LastItemTower,
    "mean": MeanTower,
    "gru": GruTower,
    "attention": AttentionTower,
    "gru_attention": GruAttentionTower,
}


def make_query_tower(parameters: TrainParameters, *, num_items: int, num_sessions: int) -> tf.keras.layers.Layer:
    """Creates the query tower selected by `parameters.query_tower`, with float32 variables.

    Args:
        parameters: the training parameters; `precision` sets the compute type.
        num_items: number of items, the vocabulary size of the `last_item` tower.
        num_sessions: number of training sessions, the vocabulary size of the `session_id` tower.
    """
    policy = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16" if parameters.precision == "bfloat16" else "float32")
    try:
        return QUERY_TOWERS[parameters.query_tower](parameters, num_items=num_items, num_sessions=num_sessions)
    finally:
        tf.keras.mixed_precision.set_global_policy(policy)
