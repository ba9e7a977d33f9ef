"""The candidate tower and the query towers.

Every query tower is called as `tower(session, items, seed)` and returns one embedding a position:

    session: [batch_size] int32 index of a training session from 1, 0 if it is none of them.
    items: [batch_size, length] int32 item indices, PADDING behind the end of a session.
    seed: [2] int32 while training, for dropout; None at inference.
    returns: [batch_size, length, embedding_dim] float32; position i knows the items up to i and no later one.
"""

import tensorflow as tf

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
    """Embeds item indices of any shape [...] as [..., embedding_dim]; unit vectors if `normalize`."""

    def __init__(self, num_items: int, embedding_dim: int, *, normalize: bool) -> None:
        super().__init__()
        self.normalize = normalize
        self.table = self.add_weight(
            name="item_embeddings",
            shape=(num_items + 1, embedding_dim),
            initializer=tf.keras.initializers.RandomUniform(-0.05, 0.05),
        )

    def embed(self, items: tf.Tensor) -> tf.Tensor:
        """The rows of the table, as they are; PADDING reads as UNKNOWN."""
        return tf.gather(self.table, tf.maximum(items, UNKNOWN))

    def call(self, items: tf.Tensor) -> tf.Tensor:
        """What a query is multiplied with."""
        embeddings = self.embed(items)
        return tf.math.l2_normalize(embeddings, axis=-1) if self.normalize else embeddings


class SessionIdTower(tf.keras.layers.Layer):
    """One embedding a session id, as the notebook has it; a session that it never saw gets the one of index 0."""

    def __init__(self, num_sessions: int, embedding_dim: int) -> None:
        super().__init__()
        self.embedding = tf.keras.layers.Embedding(num_sessions + 1, embedding_dim)

    def call(self, session: tf.Tensor, items: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        positions = tf.zeros_like(items)[:, :, tf.newaxis]
        return self.embedding(session)[:, tf.newaxis, :] + tf.cast(positions, tf.float32)


class LastItemTower(tf.keras.layers.Layer):
    """Item to item: an embedding of its own for the newest item, and nothing of what came before."""

    def __init__(self, num_items: int, embedding_dim: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.embedding = tf.keras.layers.Embedding(num_items + 1, embedding_dim)

    def call(self, session: tf.Tensor, items: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        return dropout(self.embedding(tf.maximum(items, UNKNOWN)), self.dropout, seed)


class MeanTower(tf.keras.layers.Layer):
    """The mean of the candidate tower's embeddings of the session so far."""

    def __init__(self, candidate_tower: CandidateTower, *, dropout: float) -> None:
        super().__init__()
        self.candidate_tower = candidate_tower
        self.dropout = dropout

    def call(self, session: tf.Tensor, items: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        embeddings = dropout(self.candidate_tower.embed(items), self.dropout, seed)
        count = tf.range(1, tf.shape(items)[1] + 1, dtype=tf.float32)
        return tf.cumsum(embeddings, axis=1) / count[:, tf.newaxis]


class GruTower(tf.keras.layers.Layer):
    """A GRU over the candidate tower's embeddings (Hidasi et al. 2016, "Session-based Recommendations with RNNs")."""

    def __init__(self, candidate_tower: CandidateTower, embedding_dim: int, *, dropout: float) -> None:
        super().__init__()
        self.candidate_tower = candidate_tower
        self.dropout = dropout
        self.gru = tf.keras.layers.GRU(embedding_dim, return_sequences=True)

    def call(self, session: tf.Tensor, items: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module."""
        return self.gru(dropout(self.candidate_tower.embed(items), self.dropout, seed))


class AttentionTower(tf.keras.layers.Layer):
    """Pools the candidate tower's own embeddings with weights from causal self-attention.

    The query stays in the space of the candidates, as in CORE (Hou et al. 2022, "CORE: Simple and Effective
    Session-based Recommendation within Consistent Representation Space"): a transformer block reads the session
    and only the weights of the sum come from it. Positions are counted backwards from the one that asks.
    """

    def __init__(
        self,
        candidate_tower: CandidateTower,
        embedding_dim: int,
        *,
        num_heads: int,
        max_length: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.candidate_tower = candidate_tower
        self.num_heads = num_heads
        self.dropout = dropout
        self.max_length = max_length
        self.head_dim = embedding_dim // num_heads
        self.scale = self.head_dim**-0.5
        self.projections = tf.keras.layers.Dense(3 * embedding_dim, use_bias=False)
        self.attended = tf.keras.layers.Dense(embedding_dim)
        self.hidden = tf.keras.layers.Dense(2 * embedding_dim, activation="gelu")
        self.output_projection = tf.keras.layers.Dense(embedding_dim)
        self.weigh_query = tf.keras.layers.Dense(embedding_dim, use_bias=False)
        self.weigh_key = tf.keras.layers.Dense(embedding_dim, use_bias=False)
        self.norms = [tf.keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(3)]
        # One bias a head and distance for the block, one a distance for the pooling.
        self.block_bias = self.add_weight(name="block_bias", shape=(max_length, num_heads), initializer="zeros")
        self.pooling_bias = self.add_weight(name="pooling_bias", shape=(max_length, 1), initializer="zeros")

    def _weights(self, queries: tf.Tensor, keys: tf.Tensor, bias: tf.Tensor, scale: float) -> tf.Tensor:
        """Causal attention weights [batch_size, num_heads, length, length]."""
        logits = tf.einsum("bqhd,bkhd->bhqk", queries, keys) * scale
        length = tf.shape(logits)[-1]
        distance = tf.range(length)[:, tf.newaxis] - tf.range(length)
        bias = tf.transpose(tf.gather(bias, tf.clip_by_value(distance, 0, self.max_length - 1)), [2, 0, 1])
        return tf.nn.softmax(tf.where(distance >= 0, logits + bias, -1e9))

    def call(self, session: tf.Tensor, items: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """See the module. PADDING stands behind the items, where a causal position does not look."""
        embeddings = dropout(self.candidate_tower.embed(items), self.dropout, seed)
        shape = tf.shape(embeddings)
        heads = tf.reshape(
            self.projections(self.norms[0](embeddings)),
            [shape[0], shape[1], 3, self.num_heads, self.head_dim],
        )
        queries, keys, values = tf.unstack(heads, axis=2)
        weights = self._weights(queries, keys, self.block_bias, self.scale)
        attended = tf.reshape(tf.einsum("bhqk,bkhd->bqhd", weights, values), shape)
        states = embeddings + dropout(self.attended(attended), self.dropout, derive_seed(seed, 1))
        fed_forward = self.output_projection(self.hidden(self.norms[1](states)))
        states = self.norms[2](states + dropout(fed_forward, self.dropout, derive_seed(seed, 2)))
        pooling = self._weights(
            self.weigh_query(states)[:, :, tf.newaxis],
            self.weigh_key(states)[:, :, tf.newaxis],
            self.pooling_bias,
            self.scale,
        )
        return tf.einsum("bqk,bkd->bqd", pooling[:, 0], embeddings)


def make_query_tower(
    parameters: TrainParameters, candidate_tower: CandidateTower, *, num_sessions: int
) -> tf.keras.layers.Layer:
    """Makes the query tower that the parameters name, over `num_sessions` training sessions."""
    dim, rate = parameters.embedding_dim, parameters.dropout
    match parameters.query_tower:
        case "session_id":
            return SessionIdTower(num_sessions, dim)
        case "last_item":
            return LastItemTower(candidate_tower.table.shape[0] - 1, dim, dropout=rate)
        case "mean":
            return MeanTower(candidate_tower, dropout=rate)
        case "gru":
            return GruTower(candidate_tower, dim, dropout=rate)
        case "attention":
            return AttentionTower(
                candidate_tower,
                dim,
                num_heads=parameters.num_heads,
                max_length=parameters.max_session_length,
                dropout=rate,
            )
        case other:
            raise ValueError(f"Expected query_tower to be one of {QUERY_TOWERS}. Received: {other!r}")
