"""Queries an index for many sessions at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from components.core.saved_model import list_catalogue, load_index

BATCH_SESSIONS = 512  # maximum number of sessions per query
BATCH_EVENTS = 1 << 16  # maximum number of places per query, padding included
SCORES_BYTES = 1 << 28  # maximum size of the matrix of scores of a query

SCHEMA = pa.schema(
    [("session_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.string()), ("score", pa.float32())]
)


class Answer(NamedTuple):
    """Recommendations for consecutive sessions.

    Attributes:
        table: rows of SCHEMA, in the order of the sessions, and of the ranks from 1.
        unknown: [num_unknown] the ids of the events whose items the index does not contain.
        num_without: number of sessions without any known item; they get the most popular items.
    """

    table: pa.Table
    unknown: pa.Array
    num_without: int


class BulkIndex:
    """An exported index.

    Args:
        index_dir: the SavedModel.

    Raises:
        FileNotFoundError: the folder has no SavedModel.
        ValueError: the SavedModel is not an index.
    """

    def __init__(self, index_dir: Path) -> None:
        self.loaded: Any = load_index(index_dir, signatures=("recommend", "known"))
        self.recommend, self.known = (self.loaded.signatures[name] for name in ("recommend", "known"))
        self.num_items = len(list_catalogue(self.loaded.signatures))
        self.max_sessions = max(1, min(BATCH_SESSIONS, SCORES_BYTES // (4 * self.num_items)))

    def answer(self, sessions: pa.RecordBatch, *, k: int, exclude_seen: bool) -> Answer:
        """Recommends items for sessions with the columns `session_id` and `item_ids`, a list of strings.

        Args:
            sessions: the sessions.
            k: maximum number of items for each session; fewer if the catalogue is smaller or items are excluded.
            exclude_seen: whether to exclude the items of the session.
        """
        lists = sessions["item_ids"]
        offsets = lists.offsets.to_numpy().astype(np.int64)
        # Of a slice, the values are those of the whole array.
        values = lists.values.slice(offsets[0], offsets[-1] - offsets[0])
        offsets -= offsets[0]
        lengths = np.diff(offsets)
        texts = np.array(values.to_pylist(), dtype=object)
        is_known = np.zeros(len(texts), np.bool_)
        rows, items, scores = [], [], []
        for batch in _plan(lengths, self.max_sessions):
            places = np.arange(lengths[batch].max(initial=1))
            is_event = places < lengths[batch, np.newaxis]
            event = (offsets[batch, np.newaxis] + places)[is_event]
            padded = np.full(is_event.shape, "", dtype=object)
            padded[is_event] = texts[event]
            item_ids = tf.constant(padded, tf.string)
            is_known[event] = self.known(item_ids=item_ids)["known"].numpy()[is_event]
            found = self.recommend(
                item_ids=item_ids,
                k=tf.constant([min(k, self.num_items)]),
                exclude_ids=item_ids if exclude_seen else tf.fill([len(batch), 0], ""),
            )
            rows.append(batch)
            items.append(found["item_ids"].numpy())
            scores.append(found["scores"].numpy())
        order = np.argsort(np.concatenate(rows))
        table = _flatten(sessions["session_id"], np.concatenate(items)[order], np.concatenate(scores)[order])
        has_known = np.bincount(np.repeat(np.arange(len(lengths)), lengths)[is_known])
        return Answer(
            table=table,
            unknown=values.filter(pa.array(~is_known)),
            num_without=len(lengths) - int(np.count_nonzero(has_known)),
        )


def _plan(lengths: npt.NDArray[np.int64], max_sessions: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yields the sessions of each query, those of similar length together."""
    order = np.argsort(-lengths, kind="stable")
    begin = 0
    while begin < len(order):
        size = max(1, min(max_sessions, BATCH_EVENTS // max(1, int(lengths[order[begin]]))))
        yield order[begin : begin + size]
        begin += size


def _flatten(session_ids: pa.Array, items: npt.NDArray[np.object_], scores: npt.NDArray[np.float32]) -> pa.Table:
    is_item = items != b""
    session, place = np.nonzero(is_item)
    columns = [
        session_ids.take(pa.array(session)),
        pa.array((place + 1).astype(np.int32)),
        pa.array(items[is_item], pa.binary()).cast(pa.string()),
        pa.array(scores[is_item]),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
