"""Sorts events into the order of the artifact: session start, session, time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.core.events import SCHEMA
from components.core.logs.blocks import Ids

BATCH_ROWS = 1 << 20

Codes = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SortedEvents:
    """Whole sessions in the order of the artifact.

    Attributes:
        sessions: [num_events] int32 positions in `session_ids`, in non-decreasing order.
        session_ids: [num_sessions] strings; each session has events.
        items: [num_events] int32 positions in `item_ids`.
        item_ids: [num_items] distinct strings; some may have no events.
        times: [num_events] int64 milliseconds since 1970.
        rows: [num_events] int32 or int64 positions before sorting.
    """

    sessions: Codes
    session_ids: pa.StringArray
    items: Codes
    item_ids: pa.StringArray
    times: Longs
    rows: Codes | Longs

    def to_table(self) -> pa.Table:
        """Table with the columns of `SCHEMA` and dictionary-encoded ids."""
        return pa.table(
            [
                pa.DictionaryArray.from_arrays(pa.array(self.sessions), self.session_ids),
                pa.DictionaryArray.from_arrays(pa.array(self.items), self.item_ids),
                pa.array(self.times),
            ],
            names=SCHEMA.names,
        )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A random sample of the events.

    Attributes:
        fraction: share of the sessions or events to keep.
        unit: `sessions` to sample whole sessions, `events` to sample single events.
        seed: random seed.
    """

    fraction: float
    unit: str
    seed: int

    def draw(self, num: int) -> Longs:
        """Samples positions from 0 to `num` - 1, in increasing order; at least one unless `num` is 0."""
        num_kept = min(num, max(1, round(self.fraction * num)))
        return np.sort(np.random.default_rng(self.seed).choice(num, num_kept, replace=False, shuffle=False))


def to_texts(ids: pa.Array) -> pa.Array:
    """Converts ids that were read as integers back to texts; a dictionary-encoded column stays dictionary-encoded."""
    if pa.types.is_dictionary(ids.type):
        return pa.DictionaryArray.from_arrays(ids.indices, ids.dictionary.cast(pa.string()))
    return ids.cast(pa.string())


def sort_in_memory(batches: list[pa.RecordBatch], sample: Sample | None) -> Iterator[SortedEvents]:
    """Sorts batches that `sorter.encode_ids` returned, and empties the list to free its memory."""
    with ThreadPoolExecutor(1) as executor:  # encodes the items while sessions are sorted
        numbered = executor.map(_number_items, [[batch["item_id"] for batch in batches]])
        sessions, session_ids = _unify([batch["session_id"] for batch in batches])
        times, rows = np.concatenate([batch["time"].to_numpy() for batch in batches]), None
        batches.clear()
        if sample is not None:
            if sample.unit == "events":
                rows = sample.draw(len(times))
            else:
                is_kept = np.zeros(len(session_ids), np.bool_)
                is_kept[sample.draw(len(session_ids))] = True
                rows = np.flatnonzero(is_kept[sessions])
            sessions, times = sessions[rows], times[rows]
            used, sessions = _renumber(sessions, len(session_ids))
            session_ids = session_ids.take(pa.array(used))
        in_order, order, sessions = sort_sessions(sessions, times, session_ids)
        [(items, item_ids)] = numbered
    if rows is not None:
        items = items[rows]
    session_ids = session_ids.take(pa.array(in_order))
    for begin, end in _cuts(sessions):
        first, last = sessions[begin], sessions[end - 1]
        chosen = order[begin:end]
        used, own_items = _renumber(items[chosen], len(item_ids))
        yield SortedEvents(
            sessions=sessions[begin:end] - first,
            session_ids=session_ids.slice(first, last + 1 - first).cast(pa.string()),
            items=own_items,
            item_ids=item_ids.take(pa.array(used)).cast(pa.string()),
            times=times[chosen],
            rows=chosen if rows is None else rows[chosen],
        )


def _unify(chunks: list[pa.DictionaryArray]) -> tuple[Codes, Ids]:
    """Positions [num_events] in the distinct ids, and these ids; strictly increasing ids are not hashed."""
    chunks = [chunk for chunk in chunks if len(chunk)]
    if len({chunk.type for chunk in chunks}) > 1:
        chunks = [to_texts(chunk) for chunk in chunks]
    codes = np.empty(sum(map(len, chunks)), np.int32)
    parts: list[Ids] = []
    begin, num_ids, last = 0, 0, None
    for chunk in chunks:
        ids = chunk.dictionary
        goes_on = ids[0] == last  # the last session of the previous chunk continues
        np.add(chunk.indices.to_numpy(), np.int32(num_ids - goes_on), out=codes[begin : begin + len(chunk)])
        parts.append(ids[int(goes_on) :])
        begin, num_ids, last = begin + len(chunk), num_ids + len(parts[-1]), ids[-1]
    ids = pa.concat_arrays(parts)
    if not pc.all(pc.greater(ids[1:], ids[:-1])).as_py():
        encoded = ids.dictionary_encode()
        ids, codes = encoded.dictionary, encoded.indices.to_numpy()[codes]
    return codes, ids


def _number_items(chunks: list[pa.Array]) -> tuple[Codes, Ids]:
    """Positions [num_events] in the distinct ids, and these ids."""
    if not all(pa.types.is_integer(chunk.type) for chunk in chunks):
        texts = [
            chunk if pa.types.is_dictionary(chunk.type) else to_texts(chunk).dictionary_encode() for chunk in chunks
        ]
        unified = pa.chunked_array(texts).unify_dictionaries().combine_chunks()
        return unified.indices.to_numpy(), unified.dictionary
    numbers = np.concatenate([chunk.to_numpy() for chunk in chunks])
    highest = int(numbers.max())
    if highest > 4 * len(numbers):
        encoded = pa.array(numbers).dictionary_encode()
        return encoded.indices.to_numpy(), encoded.dictionary
    used, items = _renumber(numbers, highest + 1)
    return items, pa.array(used)


def _renumber(numbers: Codes | Longs, end: int) -> tuple[Longs, Codes]:
    """The sorted distinct values of numbers from 0 to `end` - 1, and the position of each number among them."""
    is_used = np.zeros(end, np.bool_)
    is_used[numbers] = True
    return np.flatnonzero(is_used), (np.cumsum(is_used, dtype=np.int32) - 1)[numbers]


def sort_sessions(sessions: Codes, times: Longs, session_ids: Ids) -> tuple[Longs, Codes, Codes]:
    """Computes the order of the artifact; faster if the events of each session are consecutive and sorted by time.

    Args:
        sessions: [num_events] positions in `session_ids`.
        times: [num_events] milliseconds.
        session_ids: [num_sessions] ids; each session has events.

    Returns:
        The sorted positions of the sessions, the sorted positions of the events, and the session of each sorted event
        as a position in the sorted sessions.
    """
    num_sessions = len(session_ids)
    same = sessions[1:] == sessions[:-1]
    begin = np.append(0, np.flatnonzero(~same) + 1)
    if len(begin) == num_sessions and not (same & (times[1:] < times[:-1])).any():  # consecutive and sorted
        pieces = np.empty(num_sessions, np.int64)
        pieces[sessions[begin]] = np.arange(num_sessions)
        in_order = _order_sessions(times[begin[pieces]], session_ids)
        pieces = pieces[in_order]
        lengths = np.diff(begin, append=len(sessions))[pieces]
        order = np.repeat((begin[pieces] - (np.cumsum(lengths) - lengths)).astype(np.int32), lengths)
        order += np.arange(len(order), dtype=np.int32)
        return in_order, order, np.repeat(np.arange(num_sessions, dtype=np.int32), lengths)
    starts = np.full(num_sessions, np.iinfo(np.int64).max)
    np.minimum.at(starts, sessions, times)
    in_order = _order_sessions(starts, session_ids)
    rank = np.empty(num_sessions, np.int32)
    rank[in_order] = np.arange(num_sessions, dtype=np.int32)
    sessions = rank[sessions]
    order = np.lexsort((times, sessions)).astype(np.int32)
    return in_order, order, sessions[order]


def _order_sessions(starts: Longs, session_ids: Ids) -> Longs:
    """Positions [num_sessions] of the sessions, sorted by first time, then by the text of the id."""
    return sort_ties(_argsort(starts), starts, lambda positions: session_ids.take(positions).cast(pa.string()))


def sort_ties(order: Longs, keys: Longs, get_values: Callable[[pa.Array], pa.Array]) -> Longs:
    """Sorts events or sessions with equal keys by a second value.

    Args:
        order: [num] positions sorted by key; changed in place.
        keys: [num] sort keys.
        get_values: returns the second values at the given positions.
    """
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    if same.any():
        tied = np.append(same, False) | np.append(False, same)
        positions = order[tied]
        table = pa.table([pa.array(ordered[tied]), get_values(pa.array(positions))], names=["key", "value"])
        order[tied] = positions[pc.sort_indices(table, [("key", "ascending"), ("value", "ascending")]).to_numpy()]
    return order


def _argsort(values: Longs) -> Longs:
    """A stable argsort; if value and position fit in 63 bits, they are packed into one int64, which sorts faster."""
    lowest, num_bits = int(values.min()), (len(values) - 1).bit_length()
    if (int(values.max()) - lowest).bit_length() + num_bits > 63:
        return np.argsort(values, kind="stable")
    return np.sort(((values - lowest) << num_bits) + np.arange(len(values))) & ((1 << num_bits) - 1)


def _cuts(sessions: Codes) -> Iterator[tuple[int, int]]:
    """Yields ranges of about BATCH_ROWS events that end at the end of a session."""
    begin = 0
    while begin < len(sessions):
        end = begin + BATCH_ROWS
        end = int(np.searchsorted(sessions, sessions[end], side="right")) if end < len(sessions) else len(sessions)
        yield begin, end
        begin = end
