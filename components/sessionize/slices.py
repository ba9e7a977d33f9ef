"""Sorts the sessions that an engine streams into the order of the artifact, slice by slice."""

from collections.abc import Generator, Iterator
from itertools import count

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.core.intake.ordering import SortedEvents, sort_sessions
from components.core.logs.ahead import map_ahead
from components.core.logs.times import TIME_LIMIT
from components.sessionize.engines import Engine
from components.sessionize.sessions import SESSION, order_events

SLICE_EVENTS = 122_880  # number of events that are sorted at a time, which is also the batch size of DuckDB


def in_order(views: ir.Table, engine: Engine, *, has_session_ids: bool) -> Generator[SortedEvents, None, None]:
    """Yields the events of a split in the order of the artifact, some sessions at a time.

    If the first events of a session were dropped, its first remaining event may be later than that of sessions in the
    next slices. Such a session is held back.

    Args:
        views: table of a split.
        engine: computes the table.
        has_session_ids: whether the column visitor contains ids of sessions; otherwise a session is named after its
            visitor and its start.
    """
    waiting: list[pa.RecordBatch] = []
    for end_ms, found in _read_slices(views, engine):
        ready, later = _sort_slice(pa.concat_batches([*waiting, *found]), end_ms, has_session_ids=has_session_ids)
        waiting = [later]
        if ready is not None:
            yield ready


def _read_slices(views: ir.Table, engine: Engine) -> Iterator[tuple[int, list[pa.RecordBatch]]]:
    """Prefetches slices of whole sessions, about SLICE_EVENTS events each; yields them with the start of the next."""
    batches = engine.stream(order_events(views), SLICE_EVENTS)
    ahead = map_ahead(lambda _: next(batches, None), count(), num_threads=1, num_ahead=1)
    waiting: list[pa.RecordBatch] = []
    while (events := next(ahead)) is not None:
        last = int(_first_rows(events)[-1])
        waiting.append(events)
        begin_ms, end_ms = waiting[0]["session_start"][0].as_py(), events["session_start"][last].as_py()
        if end_ms > begin_ms and sum(map(len, waiting)) >= SLICE_EVENTS:
            yield end_ms, [*waiting[:-1], events.slice(0, last)]
            waiting = [events.slice(last)]
    if waiting:
        yield TIME_LIMIT, waiting


def _first_rows(events: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Positions [num_sessions] of the first event of each session."""
    visitor, start = (events[name] for name in SESSION)
    is_first = pc.or_(pc.not_equal(visitor[1:], visitor[:-1]), pc.not_equal(start[1:], start[:-1]))
    return np.append(0, np.flatnonzero(is_first) + 1)


def _sort_slice(
    events: pa.RecordBatch, end_ms: int, *, has_session_ids: bool
) -> tuple[SortedEvents | None, pa.RecordBatch]:
    """Sorts the sessions whose first event is before `end_ms`; also returns the events of the other sessions."""
    visitor, start, item, time = (events[name] for name in (*SESSION, "item", "time"))
    first = _first_rows(events)
    names = [ids.take(pa.array(first)).cast("string") for ids in (visitor, start)]
    session_ids = names[0] if has_session_ids else pc.binary_join_element_wise(*names, "-")
    bounds = np.append(first, len(events))
    times = time.to_numpy()
    order = sort_sessions(bounds, np.arange(len(first), dtype=np.int32), times, session_ids)
    rows = order.get_rows(0, len(first))
    last = int((times[rows[order.bounds[:-1]]] < end_ms).sum())
    num_ready = int(order.bounds[last])
    later = events.take(pa.array(rows[num_ready:]))
    if not num_ready:
        return None, later
    item = item.dictionary_encode()
    ready = SortedEvents(
        sessions=order.get_sessions(0, last),
        session_ids=session_ids.take(pa.array(order.sessions[:last])),
        items=item.indices.to_numpy()[rows[:num_ready]],
        item_ids=item.dictionary.cast("string"),
        times=times[rows[:num_ready]],
        rows=rows[:num_ready],
    )
    return ready, later
