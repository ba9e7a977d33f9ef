"""Exact metrics on the validation sessions, and the calibration of the pointer on them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.core.metrics import summarize
from components.core.ranking import ScoreTile, add_bonus, dot_product, rank_targets
from components.core.sequences import PADDING, Batch, Sessions, Windows, make_batch, plan_batches
from components.core.vocabulary import UNKNOWN
from components.train.calibration import OwnPairs, fit_pointer, log_partition_of_others
from components.train.model import TwoTower
from components.train.pointer import Pointer

BATCH_SIZE = 4096  # number of positions per batch
MAX_TARGETS = 20_000  # number of targets that the calibration uses; it has only NUM_FEATURES weights to fit

Floats = npt.NDArray[np.float32]


def validate(model: TwoTower, valid: Sessions, ks: tuple[int, ...]) -> dict[str, float]:
    """Calibrates the pointer, if there is one, and computes metrics over all targets of the sessions.

    Each target is ranked exactly among all items. Every position of a window is a query, so the model reads each
    session once instead of once per target.
    """
    if model.pointer is not None:
        calibrate(model, model.pointer, valid)
    queries, targets, rows, items, bonuses = [], [], [], [], []
    num_queries = 0
    for batch in _batches(model, valid):
        is_query = batch.targets != PADDING
        embeddings, own, bonus = model.score_positions(*_inputs(batch))
        queries.append(embeddings.numpy()[is_query])
        targets.append(batch.targets[is_query])
        query, place = np.nonzero(own.is_own.numpy()[is_query])
        rows.append(query + num_queries)
        items.append(batch.items[np.nonzero(is_query)[0][query], place])
        bonuses.append(bonus.numpy()[is_query][query, place])
        num_queries += len(targets[-1])
    score = dot_product(np.concatenate(queries), model.embed_candidates().numpy())
    score = add_bonus(score, np.concatenate(rows), np.concatenate(items) - 1, np.concatenate(bonuses))
    return summarize(rank_targets(score, np.concatenate(targets), num_items=model.num_items).ranks, ks)


def calibrate(model: TwoTower, pointer: Pointer, valid: Sessions) -> None:
    """Fits what the pointer serves to the validation sessions; see calibration.py.

    Uses a random part of the sessions if they have more than MAX_TARGETS targets.
    """
    queries, targets, pairs = [], [], []
    num_queries = 0
    for batch in _batches(model, valid.sample(MAX_TARGETS, seed=model.parameters.random_seed)):
        is_query = batch.targets > UNKNOWN
        embeddings, own, logits, features = model.describe_positions(*_inputs(batch))
        query, place = np.nonzero(own.is_own.numpy()[is_query])
        pairs.append(
            OwnPairs(
                query=query + num_queries,
                item=batch.items[np.nonzero(is_query)[0][query], place],
                logit=logits.numpy()[is_query][query, place],
                features=tf.boolean_mask(features, own.is_own & is_query[:, :, np.newaxis]).numpy(),
            )
        )
        queries.append(embeddings.numpy()[is_query])
        targets.append(batch.targets[is_query])
        num_queries += len(targets[-1])
    every = OwnPairs(**{name: np.concatenate([getattr(part, name) for part in pairs]) for name in vars(pairs[0])})
    candidates = model.embed_candidates().numpy() / model.parameters.temperature
    score: ScoreTile = dot_product(np.concatenate(queries), candidates)
    others = log_partition_of_others(score, every, num_queries=num_queries, num_items=model.num_items)
    pointer.serve(fit_pointer(every, np.concatenate(targets), others, pointer.trained.numpy()))


def _batches(model: TwoTower, valid: Sessions) -> Iterator[Batch]:
    windows = Windows.cut(valid, max_length=model.parameters.max_session_length)
    for rows in plan_batches(windows.length, batch_size=BATCH_SIZE):
        yield make_batch(valid, windows, rows)


def _inputs(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
    """The model's inputs for sessions that it was not trained on."""
    return tf.zeros(len(batch.items), tf.int32), tf.constant(batch.items)
