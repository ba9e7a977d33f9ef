"""Scores of a SavedModel for session prefixes, as the index returns them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.core.ranking import Floats, ScoreTile, add_bonus, dot_product
from components.core.saved_model import score_by_popularity
from components.core.sequences import Sessions, prefix_batches
from components.core.vocabulary import UNKNOWN, Vocabulary

BATCH_SIZE = 65_536  # number of positions per batch

# Strings for UNKNOWN (0) and PADDING (-1). No item has these ids: event ids are neither empty nor contain NUL.
UNKNOWN_ID = "\0"
PADDING_ID = ""


def model_scores(
    model: Any,
    candidates: Floats,
    vocabulary: Vocabulary,
    sessions: Sessions,
    events: npt.NDArray[np.int64],
    *,
    max_length: int,
) -> ScoreTile:
    """Computes the scores of all items after each prefix, which the model receives as in serving: as string item ids.

    The score is the dot product of query and candidate, plus the pointer's bonus for the prefix's own items. If none
    of the newest `max_length` items of a prefix is known, it is the item's popularity.

    Args:
        model: the loaded SavedModel.
        candidates: [num_items, dimension] the embedded catalogue.
        vocabulary: the items to score.
        sessions: the sessions that contain the prefixes.
        events: [num_queries] indices in `sessions.items`; the prefix of an event is what precedes it in its session.
        max_length: maximum number of events per prefix, the newest; the model reads no more.
    """
    queries: Floats = np.zeros((len(events), candidates.shape[1]), np.float32)
    is_known = np.zeros(len(events), np.bool_)
    row_of = np.empty(len(sessions.items), np.int64)
    row_of[events] = np.arange(len(events))
    id_of = np.array([UNKNOWN_ID, *vocabulary.item_ids.to_pylist(), PADDING_ID], dtype=object)
    session_ids = np.array(sessions.session_ids.to_pylist(), dtype=object)
    rows, items, bonuses = [], [], []
    for batch in prefix_batches(sessions, events, max_length=max_length, batch_size=BATCH_SIZE):
        answer = model.query(tf.constant(session_ids[batch.session]), tf.constant(id_of[batch.items]))
        row, bonus = row_of[batch.target], answer["bonus"].numpy()
        queries[row] = answer["embedding"].numpy()
        is_known[row] = (batch.items > UNKNOWN).any(axis=1)
        where = np.nonzero(bonus)
        rows.append(row[where[0]])
        items.append(batch.items[where])
        bonuses.append(bonus[where])
    order = np.argsort(np.concatenate(rows), kind="stable")
    row, item, bonus = (np.concatenate(parts)[order] for parts in (rows, items, bonuses))
    score = add_bonus(dot_product(queries, candidates), row, item - 1, bonus)
    popularity = score_by_popularity(vocabulary.num_items)

    def score_known(rows: slice) -> Floats:
        return np.where(is_known[rows, np.newaxis], score(rows), popularity)

    return score if is_known.all() else score_known
