"""The candidate tower and the query towers.

Every query tower is called as `tower(session, items, embeddings, seed)` and returns one embedding a position:

    session: [batch_size] int32 index of a training session from 1, 0 if it is none of them.
    items: [batch_size, length] int32 item indices, PADDING behind the end of a session.
    embeddings: [batch_size, length, embedding_dim] float32, the candidate tower's of the items.
    seed: [2] int32 while training, for dropout; None at inference.
    returns: [batch_size, length, embedding_dim] float32; position i knows the items up to i and no later one.
"""

import numpy as np
import tensorflow as tf

from components.core.loss import MASKED
from components.core.parameters import QUERY_TOWERS, TrainParameters
from components.core.vocabulary import UNKNOWN


def derive_seed(seed: tf.Tensor | None, number: int) -> tf.Tensor | None:
    """The seed of another draw in the same step; `number` stays below SEEDS_PER_STEP."""
    return None if seed is None else seed + tf.constant([0, number])


def dropout(values: tf.Tensor, rate: float, seed: tf.Tensor | None) -> tf.Tensor:
    """Dropout that depends on nothing but its seed, so that a resumed training repeats an undisturbed one."""
    if seed is None or rate == 0.0:
        return values
    return tf.nn.experimental.stateless_dropout(values, rate=rate, seed=seed)


class CandidateTower(tf.keras.layers.Layer):
    """Embeds item indices of any shape [...] as [..., embedding_dim]; PADDING reads as UNKNOWN.

    The embedding is `num_parts` vectors side by side, one for each query tower. With `normalize` each of them has
    the same length and all together are a unit vector, so that the dot product with a query that is built alike
    is the mean of the parts' cosine similarities.
    """

    def __init__(self, num_items: int, embedding_dim: int, *, normalize: bool, num_parts: int = 1) -> None:
        super().__init__()
        self.normalize = normalize
        self.num_parts = num_parts
        self.table = self.add_weight(
            name="item_embeddings",
            shape=(num_items + 1, embedding_dim),
            initializer=tf.keras.initializers.RandomUniform(-0.05, 0.05),
        )

    def parts(self, items: tf.Tensor) -> list[tf.Tensor]:
        """`num_parts` tensors [..., embedding_dim / num_parts], unit vectors if `normalize`."""
        parts = tf.split(tf.gather(self.table, tf.maximum(items, UNKNOWN)), self.num_parts, axis=-1)
        return [tf.math.l2_normalize(part, axis=-1) for part in parts] if self.normalize else parts

    def call(self, items: tf.Tensor) -> tf.Tensor:
        """What a query is multiplied with."""
        return self.join(self.parts(items))

    def join(self, parts: list[tf.Tensor]) -> tf.Tensor:
        """Puts parts, of a candidate or of a query, side by side."""
        if not self.normalize:
            return tf.concat(parts, axis=-1)
        unit = [tf.math.l2_normalize(part, axis=-1) for part in parts]
        return tf.concat(unit, axis=-1) * self.num_parts**-0.5


class SessionIdTower(tf.keras.layers.Layer):
    """One embedding a session id, as the notebook has it; a session that it never saw gets the one of index 0."""

    def __init__(self, num_sessions: int, embedding_dim: int) -> None:
        super().__init__()
        self.embedding = tf.keras.layers.Embedding(num_sessions + 1, embedding_dim)

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        positions = tf.zeros_like(items)[:, :, tf.newaxis]
        return self.embedding(session)[:, tf.newaxis, :] + tf.cast(positions, tf.float32)


class LastItemTower(tf.keras.layers.Layer):
    """Item to item: an embedding of its own for the newest item, and nothing of what came before."""

    def __init__(self, num_items: int, embedding_dim: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.embedding = tf.keras.layers.Embedding(num_items + 1, embedding_dim)

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        return dropout(self.embedding(tf.maximum(items, UNKNOWN)), self.dropout, seed)


class MeanTower(tf.keras.layers.Layer):
    """The mean of the candidate tower's embeddings of the session so far."""

    def __init__(self, *, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        embeddings = dropout(embeddings, self.dropout, seed)
        count = tf.range(1, tf.shape(items)[1] + 1, dtype=tf.float32)
        return tf.cumsum(embeddings, axis=1) / count[:, tf.newaxis]


class GruTower(tf.keras.layers.Layer):
    """A GRU over the candidate tower's embeddings (Hidasi et al. 2016, "Session-based Recommendations with RNNs")."""

    def __init__(self, embedding_dim: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.gru = tf.keras.layers.GRU(embedding_dim, return_sequences=True)

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        return self.gru(dropout(embeddings, self.dropout, seed))


class AttentionTower(tf.keras.layers.Layer):
    """Pools the candidate tower's own embeddings with weights from causal self-attention.

    The query stays in the space of the candidates, as in CORE (Hou et al. 2022, "CORE: Simple and Effective
    Session-based Recommendation within Consistent Representation Space"): a transformer block reads the session
    and only the weights of the sum come from it. Positions are counted backwards from the one that asks.
    """

    def __init__(self, embedding_dim: int, *, num_heads: int, max_length: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.max_length = max_length
        self.head_dim = embedding_dim // num_heads
        self.projections = tf.keras.layers.Dense(3 * embedding_dim, use_bias=False)
        self.attended = tf.keras.layers.Dense(embedding_dim)
        self.hidden = tf.keras.layers.Dense(2 * embedding_dim, activation="relu")
        self.fed_forward = tf.keras.layers.Dense(embedding_dim)
        self.pooling_query = tf.keras.layers.Dense(embedding_dim, use_bias=False)
        self.pooling_key = tf.keras.layers.Dense(embedding_dim, use_bias=False)
        self.norms = [tf.keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(3)]
        # A bias for each distance: none at first for the block, the nearer the more for the pooling.
        self.block_bias = self.add_weight(name="block_bias", shape=(max_length, num_heads), initializer="zeros")
        recency = -np.log1p(np.arange(max_length, dtype=np.float32))[:, np.newaxis]
        self.pooling_bias = self.add_weight(
            name="pooling_bias", shape=(max_length, 1), initializer=tf.keras.initializers.Constant(recency)
        )

    def _weights(self, queries: tf.Tensor, keys: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Causal attention weights [batch_size, num_heads, length, length] of heads [.., length, head_dim]."""
        logits = tf.matmul(queries, keys, transpose_b=True) * (queries.shape[-1] ** -0.5)
        distance = _distances(tf.shape(logits)[-1])
        bias = tf.transpose(tf.gather(bias, tf.clip_by_value(distance, 0, self.max_length - 1)), [2, 0, 1])
        return tf.nn.softmax(tf.where(distance >= 0, logits + bias, MASKED))

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module. PADDING stands behind the items, where a causal position does not look."""
        dim = embeddings.shape[-1]
        shape = tf.shape(embeddings)
        states = dropout(embeddings, self.dropout, seed) * dim**0.5
        heads = tf.reshape(
            self.projections(self.norms[0](states)), [shape[0], shape[1], 3, self.num_heads, self.head_dim]
        )
        queries, keys, values = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))
        attended = tf.matmul(self._weights(queries, keys, self.block_bias), values)
        attended = self.attended(tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), shape))
        states += dropout(attended, self.dropout, derive_seed(seed, 1))
        fed_forward = self.fed_forward(self.hidden(self.norms[1](states)))
        states = self.norms[2](states + dropout(fed_forward, self.dropout, derive_seed(seed, 2)))
        pooling = self._weights(
            self.pooling_query(states)[:, tf.newaxis], self.pooling_key(states)[:, tf.newaxis], self.pooling_bias
        )
        return tf.matmul(pooling[:, 0], dropout(embeddings, self.dropout, derive_seed(seed, 3)))


class DecayTower(tf.keras.layers.Layer):
    """Means of the session that forget at several rates, mixed linearly and by a small network.

    A rate of 0 is the newest item alone, 1 the mean of the whole session. It sees less of the order than
    attention does and more of a long session, so the two are worth more together than either alone.
    """

    RATES = (0.0, 0.5, 0.8, 1.0)

    def __init__(self, embedding_dim: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.mixture = self.add_weight(
            name="mixture",
            shape=(len(self.RATES),),
            initializer=tf.keras.initializers.Constant(1.0 / len(self.RATES)),
        )
        self.linear = tf.keras.layers.Dense(embedding_dim, use_bias=False, kernel_initializer="zeros")
        self.hidden = tf.keras.layers.Dense(2 * embedding_dim, activation="relu")
        self.output_projection = tf.keras.layers.Dense(embedding_dim, use_bias=False)

    def call(self, session: tf.Tensor, items: tf.Tensor, embeddings: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        distance = tf.cast(_distances(tf.shape(items)[1]), tf.float32)
        rates = tf.constant(self.RATES)[:, tf.newaxis, tf.newaxis]
        weights = tf.where(distance >= 0, tf.pow(rates, tf.maximum(distance, 0.0)), 0.0)
        weights /= tf.reduce_sum(weights, axis=-1, keepdims=True)
        means = tf.einsum("rqk,bkd->bqrd", weights, dropout(embeddings, self.dropout, seed))
        dim = embeddings.shape[-1]
        inputs = tf.reshape(means, [-1, tf.shape(items)[1], len(self.RATES) * dim]) * dim**0.5
        inputs = dropout(inputs, self.dropout, derive_seed(seed, 4))
        correction = self.linear(inputs) + self.output_projection(self.hidden(inputs))
        return tf.einsum("bqrd,r->bqd", means, self.mixture) + correction * dim**-0.5


def _distances(length: tf.Tensor) -> tf.Tensor:
    """[length, length] int32: how far the column's position lies before the row's; negative if behind it."""
    return tf.range(length)[:, tf.newaxis] - tf.range(length)


def make_query_tower(
    name: str, parameters: TrainParameters, *, embedding_dim: int, num_items: int, num_sessions: int
) -> tf.keras.layers.Layer:
    """Makes the query tower of that name.

    Args:
        name: one of QUERY_TOWERS.
        parameters: give the settings that towers have.
        embedding_dim: of this tower.
        num_items: items that the `last_item` tower looks up.
        num_sessions: training sessions that the `session_id` tower looks up.
    """
    rate = parameters.dropout
    match name:
        case "session_id":
            return SessionIdTower(num_sessions, embedding_dim)
        case "last_item":
            return LastItemTower(num_items, embedding_dim, dropout=rate)
        case "mean":
            return MeanTower(dropout=rate)
        case "gru":
            return GruTower(embedding_dim, dropout=rate)
        case "attention":
            return AttentionTower(
                embedding_dim,
                num_heads=parameters.num_heads,
                max_length=parameters.max_session_length,
                dropout=rate,
            )
        case "decay":
            return DecayTower(embedding_dim, dropout=rate)
        case other:
            raise ValueError(f"Expected query_tower to be made of {', '.join(QUERY_TOWERS)}. Received: {other!r}")
