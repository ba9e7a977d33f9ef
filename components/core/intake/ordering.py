"""Sorts events into the order of the artifact: session start, session, time."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.core.events import SCHEMA
from components.core.logs.blocks import Ids

BATCH_ROWS = 1 << 18  # the ids of a batch, which Parquet hashes, fit in the cache of a core

Codes = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Number = TypeVar("Number", np.int32, np.int64)


@dataclass(frozen=True, kw_only=True)
class SortedEvents:
    """Whole sessions in the order of the artifact.

    Attributes:
        sessions: [num_events] int32 positions in `session_ids`, in non-decreasing order.
        session_ids: [num_sessions] strings; each session has events.
        items: [num_events] int32 positions in `item_ids`.
        item_ids: [num_items] distinct strings; some may have no events, and several batches may share the array.
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
        """Table with the columns of `SCHEMA` and dictionary-encoded ids, each of which has events."""
        used, items = _renumber(self.items, len(self.item_ids))
        return pa.table(
            [
                pa.DictionaryArray.from_arrays(pa.array(self.sessions), self.session_ids),
                pa.DictionaryArray.from_arrays(pa.array(items), self.item_ids.take(pa.array(used))),
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


@dataclass(frozen=True, kw_only=True)
class SessionOrder:
    """The order of the artifact, without an array of all events if each session is consecutive and sorted by time.

    Attributes:
        sessions: [num_sessions] positions of the sessions, in order.
        bounds: [num_sessions + 1] the sorted events `bounds[i]` to `bounds[i + 1]` belong to the i-th session in order.
        begin: [num_sessions] position of the first event of each session in order, if `rows` is None.
        rows: [num_events] positions of the sorted events; None if each session is consecutive and sorted by time.
    """

    sessions: Longs
    bounds: Longs
    begin: Longs
    rows: Codes | None = None

    def get_rows(self, first: int, last: int) -> Codes:
        """Positions of the events of the sessions `first` to `last` - 1 in order."""
        begin, end = self.bounds[[first, last]]
        if self.rows is not None:
            return self.rows[begin:end]
        moves = (self.begin[first:last] - self.bounds[first:last]).astype(np.int32)
        rows = np.repeat(moves, np.diff(self.bounds[first : last + 1]))
        rows += np.arange(begin, end, dtype=np.int32)
        return rows

    def get_sessions(self, first: int, last: int) -> Codes:
        """Session of each of these events, counted from `first`."""
        return np.repeat(np.arange(last - first, dtype=np.int32), np.diff(self.bounds[first : last + 1]))

    def cut(self) -> Iterator[tuple[int, int]]:
        """Yields ranges of sessions with about BATCH_ROWS events each."""
        first, num_sessions = 0, len(self.sessions)
        while first < num_sessions:
            last = int(np.searchsorted(self.bounds, self.bounds[first] + BATCH_ROWS, side="right"))
            yield first, min(last, num_sessions)
            first = last


def to_texts(ids: pa.Array) -> pa.Array:
    """Converts ids that were read as integers back to texts; a dictionary-encoded column stays dictionary-encoded."""
    if pa.types.is_dictionary(ids.type):
        return pa.DictionaryArray.from_arrays(ids.indices, ids.dictionary.cast(pa.string()))
    return ids.cast(pa.string())


def sort_in_memory(batches: list[pa.RecordBatch], sample: Sample | None) -> Iterator[SortedEvents]:
    """Sorts batches that `sorter.encode_ids` returned, and empties the list to free its memory."""
    with ThreadPoolExecutor(1) as executor:  # encodes the items while sessions are sorted
        numbered = executor.map(_number_items, [[batch["item_id"] for batch in batches]])
        bounds, sessions, session_ids = _join_runs([batch["session_id"] for batch in batches])
        times, rows = np.concatenate([batch["time"].to_numpy() for batch in batches]), None
        batches.clear()
        if sample is not None:
            session_of = np.repeat(sessions, np.diff(bounds))
            if sample.unit == "events":
                rows = sample.draw(len(times))
            else:
                is_kept = np.zeros(len(session_ids), np.bool_)
                is_kept[sample.draw(len(session_ids))] = True
                rows = np.flatnonzero(is_kept[session_of])
            times = times[rows]
            used, session_of = _renumber(session_of[rows], len(session_ids))
            session_ids = session_ids.take(pa.array(used))
            begin = np.flatnonzero(np.diff(session_of, prepend=-1))
            bounds, sessions = np.append(begin, len(rows)), session_of[begin]
        order = sort_sessions(bounds, sessions, times, session_ids)
        [(items, item_ids)] = numbered
    if rows is not None:
        items = items[rows]
    item_ids = item_ids.cast(pa.string())
    for first, last in order.cut():
        chosen = order.get_rows(first, last)
        yield SortedEvents(
            sessions=order.get_sessions(first, last),
            session_ids=session_ids.take(pa.array(order.sessions[first:last])).cast(pa.string()),
            items=take(items, chosen),
            item_ids=item_ids,
            times=take(times, chosen),
            rows=chosen if rows is None else rows[chosen],
        )


def _join_runs(chunks: list[pa.RunEndEncodedArray]) -> tuple[Longs, Codes, Ids]:
    """Joins runs of events of the same session; strictly increasing ids are not hashed.

    Returns:
        Positions [num_runs + 1] of the first event of each run, the session of each run as a position in the distinct
        ids, and these ids in order of occurrence.
    """
    chunks = [chunk for chunk in chunks if len(chunk)]
    values = [chunk.values for chunk in chunks]
    if len({each.type for each in values}) > 1:
        values = [to_texts(each) for each in values]
    begin, parts, num_events, last = [], [], 0, None
    for chunk, ids in zip(chunks, values, strict=True):
        goes_on = int(ids[0] == last)  # the last session of the previous chunk continues
        ends = chunk.run_ends.to_numpy()
        begin.append(np.append(0, ends[:-1])[goes_on:] + num_events)
        parts.append(ids[goes_on:])
        num_events, last = num_events + len(chunk), ids[-1]
    bounds = np.concatenate([*begin, [num_events]])
    ids = pa.concat_arrays(parts)
    if pc.all(pc.greater(ids[1:], ids[:-1])).as_py():
        return bounds, np.arange(len(ids), dtype=np.int32), ids
    encoded = ids.dictionary_encode()
    return bounds, encoded.indices.to_numpy(), encoded.dictionary


def _number_items(chunks: list[pa.Array]) -> tuple[Codes, Ids]:
    """Positions [num_events] in the distinct ids, and these ids."""
    if not all(pa.types.is_integer(chunk.type) for chunk in chunks):
        texts = [
            chunk if pa.types.is_dictionary(chunk.type) else to_texts(chunk).dictionary_encode() for chunk in chunks
        ]
        unified = pa.chunked_array(texts).unify_dictionaries().combine_chunks()
        return unified.indices.to_numpy(), unified.dictionary
    numbers = [chunk.to_numpy() for chunk in chunks]
    end, num_events = max(int(each.max(initial=0)) for each in numbers) + 1, sum(map(len, numbers))
    if end > 4 * num_events:
        encoded = pa.array(np.concatenate(numbers)).dictionary_encode()
        return encoded.indices.to_numpy(), encoded.dictionary
    used, positions = _number(numbers, end)
    codes = np.empty(num_events, np.int32)
    begin = 0
    for each in numbers:
        codes[begin : begin + len(each)] = take(positions, each)
        begin += len(each)
    return codes, pa.array(used)


def _number(numbers: Sequence[Codes | Longs], end: int) -> tuple[Longs, Codes]:
    """The sorted distinct values of numbers from 0 to `end` - 1, and the position [end] of each number among them."""
    is_used = np.zeros(end, np.bool_)
    for each in numbers:
        is_used[each] = True
    return np.flatnonzero(is_used), np.cumsum(is_used, dtype=np.int32) - np.int32(1)


def _renumber(numbers: Codes, end: int) -> tuple[Longs, Codes]:
    """The sorted distinct values of numbers from 0 to `end` - 1, and the position of each number among them."""
    used, positions = _number([numbers], end)
    return used, numbers if len(used) == end else take(positions, numbers)


def take(values: npt.NDArray[Number], positions: Codes | Longs) -> npt.NDArray[Number]:
    """`values[positions]`, which takes NumPy twice as long with int32 positions."""
    taken: npt.NDArray[Number] = pa.array(values).take(pa.array(positions)).to_numpy()
    return taken


def sort_sessions(bounds: Longs, sessions: Codes, times: Longs, session_ids: Ids) -> SessionOrder:
    """Computes the order of the artifact; faster if each session is one run and sorted by time.

    Args:
        bounds: [num_runs + 1] positions of the first event of each run of events of the same session.
        sessions: [num_runs] session of each run, as a position in `session_ids`, numbered in order of occurrence.
        times: [num_events] milliseconds.
        session_ids: [num_sessions] ids; each session has events.
    """
    num_sessions, lengths = len(session_ids), np.diff(bounds)
    is_backward = times[1:] < times[:-1]
    is_backward[bounds[1:-1] - 1] = False
    if len(sessions) == num_sessions and not is_backward.any():
        in_order = _order_sessions(times[bounds[:-1]], session_ids)
        return SessionOrder(
            sessions=in_order, bounds=np.append(0, np.cumsum(lengths[in_order])), begin=bounds[in_order]
        )
    session_of = np.repeat(sessions, lengths)
    starts = np.full(num_sessions, np.iinfo(np.int64).max)
    np.minimum.at(starts, session_of, times)
    in_order = _order_sessions(starts, session_ids)
    rank = np.empty(num_sessions, np.int32)
    rank[in_order] = np.arange(num_sessions, dtype=np.int32)
    session_of = rank[session_of]
    rows = np.lexsort((times, session_of)).astype(np.int32)
    new_bounds = np.append(0, np.cumsum(np.bincount(session_of)))
    return SessionOrder(sessions=in_order, bounds=new_bounds, begin=new_bounds[:-1], rows=rows)


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
