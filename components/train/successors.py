"""What follows an item: a vector for each frequent item, added to the query while the item is the newest one."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.core.vocabulary import UNKNOWN
from components.train.towers import derive_seed, dropout

MIN_WEIGHT = 0.01  # an item with less weight gets no row, which keeps the table small
SEED = 5  # the query towers use the draws before


class SuccessorTable(tf.keras.layers.Layer):
    """Vectors of what comes next after an item.

    The item table has to say what an item is and, through the query tower, what follows it. A row of this table says
    the latter alone, so it is sharper, but learns by heart what followed a rare item once. Its weight is therefore
    n / (n + half_count) for an item with n events: the weight that the mean of n observations has beside a prior worth
    half_count of them.

    Items have their indices by descending count, so a table of the first rows holds the frequent ones.

    Args:
        counts: [num_items] number of events per item in the training sessions; entry i belongs to index i + 1.
        dimension: number of coordinates of a query.
        half_count: number of events at which a row has half its weight, above 0.
        rate: dropout rate.
    """

    def __init__(self, counts: npt.NDArray[np.int64], *, dimension: int, half_count: float, rate: float) -> None:
        super().__init__()
        self.rate = rate
        weights = np.append(0.0, counts / (counts + half_count))
        num_rows = 1 + np.max(np.flatnonzero(weights >= MIN_WEIGHT), initial=UNKNOWN)
        self.weights_of_rows = tf.constant(weights[:num_rows], tf.float32)
        self.table = self.add_weight(name="successors", shape=(num_rows, dimension), initializer="zeros")

    def call(self, items: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """Returns what each position adds to its query.

        Args:
            items: [batch_size, length] int32 item indices.
            seed: [2] int32 seed of the dropout in training; None at inference.

        Returns:
            [batch_size, length, dimension]; 0 for items without a row.
        """
        rows = tf.where(items < self.table.shape[0], tf.maximum(items, UNKNOWN), UNKNOWN)
        vectors = tf.gather(self.table, rows) * tf.gather(self.weights_of_rows, rows)[..., tf.newaxis]
        return dropout(vectors, self.rate, derive_seed(seed, SEED))
