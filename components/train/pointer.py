"""The pointer: a learned bonus for the items of the session itself, and how it finds them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.core.vocabulary import UNKNOWN
from components.train.loss import MASKED

DISTANCES = (0, 1, 2, 3, 4, 6, 9, 14, 24)  # smallest distance of each bucket; 0 is the current item
LOGIT_SCALE = 0.1  # brings logits to the magnitude of the other features
NUM_FEATURES = len(DISTANCES) + 2 * 5


class OwnItems(NamedTuple):
    """The items that a query has seen, each at its newest place.

    The leading axes [...] are [batch_size, length] for queries at all positions, or [batch_size] for queries after the
    last item. `distance` and `count` may have the size 1 on a leading axis on which they do not depend.

    Attributes:
        is_own: [..., num_places] bool; whether the place holds a known item, is not after the query's position, and is
            the newest such place of its item.
        distance: [..., num_places] int32 number of events after the place, up to the query's position.
        count: [..., num_places] float32 number of places of the item up to the query's position.
    """

    is_own: tf.Tensor
    distance: tf.Tensor
    count: tf.Tensor


def own_items_of_positions(items: tf.Tensor) -> OwnItems:
    """Finds the own items of each position of sessions [batch_size, length] int32."""
    place = tf.range(tf.shape(items)[1])
    same = items[:, :, tf.newaxis] == items[:, tf.newaxis, :]
    is_later = place[:, tf.newaxis] < place
    next_place = tf.reduce_min(tf.where(same & is_later, place, tf.size(place)), axis=2)
    distance = place[:, tf.newaxis] - place
    is_newest = (distance >= 0) & (next_place[:, tf.newaxis, :] > place[:, tf.newaxis])
    count = tf.reduce_sum(tf.cast(same & ~is_later, tf.float32), axis=2)
    return OwnItems(
        is_own=is_newest & (items > UNKNOWN)[:, tf.newaxis, :],
        distance=tf.maximum(distance, 0)[tf.newaxis],
        count=count[:, tf.newaxis, :],
    )


def own_items_of_sessions(items: tf.Tensor, lengths: tf.Tensor) -> OwnItems:
    """Finds the own items of whole sessions, in O(length log length).

    Args:
        items: [batch_size, length] int32 item indices, padded at the end.
        lengths: [batch_size] int32 number of items of each session.
    """
    place = tf.range(tf.shape(items)[1])
    order = tf.argsort(items, axis=1, stable=True)
    ordered = tf.gather(items, order, batch_dims=1)
    begin = tf.searchsorted(ordered, items, side="left")
    end = tf.searchsorted(ordered, items, side="right")
    is_newest = tf.gather(order, end - 1, batch_dims=1) == place
    return OwnItems(
        is_own=is_newest & (items > UNKNOWN),
        distance=tf.maximum(lengths[:, tf.newaxis] - 1 - place, 0),
        count=tf.cast(end - begin, tf.float32),
    )


def own_features(logits: tf.Tensor, own: OwnItems) -> tf.Tensor:
    """Returns the features of the session's own items, [..., num_places, NUM_FEATURES] float32; 0 where not own.

    The first features say in which bucket of `DISTANCES` the item's newest place lies. The others describe the item
    (log of its count, its logit) and the session (log of the number of its events, log of the number of its distinct
    known items, log of the sum of exp(logit) over them, at least -1 / LOGIT_SCALE); each stands twice, once for the
    current item and once for earlier items. Logits and the log of their sum are multiplied by LOGIT_SCALE.

    Args:
        logits: [..., num_places] dot product of the query and each place's item, divided by the temperature.
        own: the own items.
    """
    described = tf.stack([each + tf.zeros_like(logits) for each in _describe(logits, own)], axis=-1)
    is_current = tf.cast(own.distance == 0, tf.float32)[..., tf.newaxis]
    distance = tf.one_hot(_bucket(own), len(DISTANCES)) + tf.zeros_like(described[..., :1])
    features = tf.concat([distance, described * is_current, described * (1.0 - is_current)], axis=-1)
    return tf.where(own.is_own[..., tf.newaxis], features, 0.0)


def own_bonus(logits: tf.Tensor, own: OwnItems, weights: tf.Tensor) -> tf.Tensor:
    """Returns the product of `own_features` and weights [NUM_FEATURES], without the tensor of features.

    In training, that tensor took an eighth of the time of a step.

    Returns:
        [..., num_places] float32; 0 where not own.
    """
    described = _describe(logits, own)
    by_distance, *of_described = tf.split(weights, [len(DISTANCES), len(described), len(described)])
    current, earlier = (
        sum(weight * each for weight, each in zip(part, described, strict=True))
        for part in map(tf.unstack, of_described)
    )
    bonus = tf.gather(by_distance, _bucket(own)) + tf.where(own.distance == 0, current, earlier)
    return tf.where(own.is_own, bonus, 0.0)


def _describe(logits: tf.Tensor, own: OwnItems) -> list[tf.Tensor]:
    """Returns the features of the items and of the session, each broadcastable to [..., num_places]."""
    masked = tf.where(own.is_own, logits, MASKED)
    num_own = tf.reduce_sum(tf.cast(own.is_own, tf.float32), axis=-1, keepdims=True)
    return [
        tf.math.log(own.count),
        LOGIT_SCALE * logits,
        tf.math.log(tf.cast(tf.reduce_max(own.distance, axis=-1, keepdims=True), tf.float32) + 1.0),
        tf.math.log(tf.maximum(num_own, 1.0)),
        LOGIT_SCALE * tf.maximum(tf.reduce_logsumexp(masked, axis=-1, keepdims=True), -1.0 / LOGIT_SCALE),
    ]


def _bucket(own: OwnItems) -> tf.Tensor:
    """Returns the bucket of each place's distance, of the shape of `own.distance`."""
    bucket = tf.searchsorted(tf.constant(DISTANCES), tf.reshape(own.distance, [-1]), side="right") - 1
    return tf.reshape(bucket, tf.shape(own.distance))


class Pointer(tf.keras.layers.Layer):
    """Adds to the logit of each of the session's own items a bonus, a linear function of `own_features`.

    One query vector cannot say "not the current item, but the one before it"; copying from the input can (Vinyals et
    al. 2015, "Pointer Networks"; Gu et al. 2016, "Incorporating Copying Mechanism in Sequence-to-Sequence Learning").
    The features of the session decide whether the next item repeats an earlier one, as in Ren et al. 2019
    ("RepeatNet").

    `trained` is learned in the loss together with the towers. `served` is what inference uses: the same, or the
    weights fitted to the validation sessions, which the towers have not seen (see calibration.py).
    """

    def __init__(self) -> None:
        super().__init__(dtype="float32")
        self.trained = self.add_weight(name="pointer", shape=(NUM_FEATURES,), initializer="zeros")
        self.served = self.add_weight(
            name="served_pointer", shape=(NUM_FEATURES,), initializer="zeros", trainable=False
        )

    def call(self, logits: tf.Tensor, own: OwnItems, training: bool = False) -> tf.Tensor:
        """Returns the bonus of each place, [..., num_places], in units of logits; 0 where not own."""
        return own_bonus(logits, own, tf.convert_to_tensor(self.trained if training else self.served))

    def serve(self, weights: npt.NDArray[np.float32] | None = None) -> None:
        """Sets what inference uses: `weights` [NUM_FEATURES], or the trained ones."""
        self.served.assign(self.trained if weights is None else weights)
