"""Cuts raw events into sessions, filters and splits them, as Ibis expressions for DuckDB and Spark."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir

DAY_MS = 24 * 60 * 60 * 1000
SESSION = ["visitor", "session_start"]
VISITOR_TIME = ["visitor", "time"]
Keep = Callable[[ir.Table], ir.Table]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Tables with the columns visitor, session_start, item, time, and maybe row."""

    train: ir.Table
    valid: ir.Table
    test: ir.Table


@dataclass(frozen=True, kw_only=True)
class Supported:
    """Numbers of events after rare items and short sessions were dropped.

    Attributes:
        num_rare: number of events whose item was dropped first.
        num_short: number of events whose session was dropped first, after it had lost events with rare items.
        num_left: number of events that are left.
    """

    num_rare: int
    num_short: int
    num_left: int


def within(events: ir.Table, *, end_ms: int, window_days: int) -> ir.Table:
    """Selects the events of the window that ends at `end_ms`, inclusive; `window_days` of 0 means no lower bound."""
    events = events.filter(events.time <= end_ms)
    return events.filter(events.time > end_ms - window_days * DAY_MS) if window_days else events


def count_outside(events: ir.Table, *, end_ms: int, window_days: int) -> ir.Table:
    """Number of events outside the window, of those whose type is kept; see `within`."""
    is_outside = events.time > end_ms
    if window_days:
        is_outside |= events.time <= end_ms - window_days * DAY_MS
    return events.agg(num_events=(events.counts & is_outside).sum())


def cut_sessions(
    events: ir.Table, *, max_gap_ms: int, min_session_length: int, drop_repeats: bool, is_in_order: bool
) -> ir.Table:
    """Assigns sessions to the events whose type is kept, and drops repeated items and short sessions.

    A session of a visitor ends if more than `max_gap_ms` pass before the visitor's next event of any type. It is
    identified by the time of its first event. Events at the same time are sorted by `row`, if there is such a column,
    otherwise by item: integers by value, other texts by length in characters and then by their bytes, which is the same
    order for integers in canonical form.

    Args:
        events: visitor, item, counts (whether the type of the event is kept), time in milliseconds, and maybe row.
        max_gap_ms: maximum gap between two events of a session, in milliseconds.
        min_session_length: sessions with fewer events are dropped.
        drop_repeats: whether to drop events that have the same item as the previous event of the session.
        is_in_order: whether the engine reads events grouped by visitor and sorted by time and item (or row), so that
            windows need not sort.

    Returns:
        visitor, session_start, item, time, and maybe row of the kept events.
    """
    row, so_far = _windows(events, is_in_order=is_in_order)
    gap = events.time - events.time.lag().over(row)
    is_first = _begins_session(events, row, max_gap_ms)
    events = events.mutate(is_first=is_first, gap=is_first.ifelse(0, gap))
    # `spent`, the sum of the gaps within sessions, never decreases, so its value at the latest start is the maximum.
    # DuckDB sums in 128 bits, but Ibis takes the sum for int64, so its `cast` method would omit this cast.
    events = events.mutate(spent=ops.Cast(events.gap.sum().over(so_far), "int64").to_expr())
    spent_before = events.is_first.ifelse(events.spent, ibis.null("int64")).max().over(so_far)
    events = events.mutate(session_start=events.time - (events.spent - spent_before))

    views = events.filter(events.counts).drop("counts", "is_first", "gap", "spent")
    if drop_repeats:
        views = _filter(views, ~_equals_row(views, [*SESSION, "item"], row, back=1))
    last = min_session_length - 1
    in_session = [
        _equals_row(views, SESSION, row, back=back) & _equals_row(views, SESSION, row, back=back - last)
        for back in range(min_session_length)
    ]
    return _filter(views, reduce(or_, in_session))


def count_suspicious(events: ir.Table, *, max_gap_ms: int, max_events: int, is_in_order: bool) -> ir.Table:
    """Counts repeats, duplicates, and the events of visitors that may have too many.

    Args:
        events: as in `cut_sessions`.
        max_gap_ms: as in `cut_sessions`.
        max_events: number of events of a visitor beyond which an event is counted; 0 for none.
        is_in_order: as in `cut_sessions`.

    Returns:
        num_repeats, events whose previous event of the session has the same item; num_duplicates, those that have the
        same time, too (not all of them if events are sorted by row); num_beyond, events of a visitor who has
        `max_events` events before them.
    """
    row, so_far = _windows(events, is_in_order=is_in_order)
    events = events.mutate(is_first=_begins_session(events, row, max_gap_ms))
    # Sessions of one visitor, or of all visitors of a stream, are numbered: windows need not compare the visitors.
    # DuckDB counts rows in a quarter of the time that it takes to sum numbers.
    events = events.mutate(session=events.count(where=events.is_first).over(so_far))
    views = events.filter(events.counts)
    is_repeat = _equals_row(views, ["session", "item"], row, back=1)
    views = views.select(
        is_repeat=is_repeat,
        is_duplicate=is_repeat & _equals_row(views, ["time"], row, back=1),
        is_beyond=_equals_row(views, ["visitor"], row, back=max_events) if max_events else ibis.literal(False),
    )
    return views.agg(
        num_repeats=views.is_repeat.sum(), num_duplicates=views.is_duplicate.sum(), num_beyond=views.is_beyond.sum()
    )


def find_tied(events: ir.Table, *, is_in_order: bool) -> ir.Table:
    """Visitor, item and time of the events that have the time of another event of the visitor."""
    row, _ = _windows(events, is_in_order=is_in_order)
    views = events.filter(events.counts)
    is_tied = _equals_row(views, VISITOR_TIME, row, back=1) | _equals_row(views, VISITOR_TIME, row, back=-1)
    return _filter(views, is_tied).select("visitor", "item", "time")


def find_busy(views: ir.Table, *, max_events: int) -> ir.Table:
    """Visitors with more than `max_events` events."""
    counts = views.group_by("visitor").agg(num_events=views.count())
    return counts.filter(counts.num_events > max_events).select("visitor")


def drop_all(views: ir.Table, items: ir.Table, sessions: ir.Table) -> ir.Table:
    """Drops the events of the given items and of the given sessions."""
    return views.anti_join(items, "item").anti_join(sessions, SESSION)


def find_unsupported(
    views: ir.Table, keep: Keep, *, min_session_length: int, min_item_support: int
) -> tuple[ir.Table, ir.Table, Supported]:
    """Finds the items and sessions to drop, repeatedly until neither rare items nor short sessions remain.

    The result does not depend on the order in which they are dropped. Each pass therefore checks only the sessions that
    contain a newly dropped item, and subtracts the events of dropped sessions from the item counts.

    Args:
        views: visitor, session_start, item, time, without short sessions.
        keep: computes and materialises a table that several expressions use.
        min_session_length: sessions with fewer events are dropped.
        min_item_support: items with fewer events are dropped.

    Returns:
        The items to drop, the sessions to drop, and the numbers of events.
    """
    items, sessions = (keep(views.select(*keys).limit(0)) for keys in (["item"], SESSION))
    support = keep(views.group_by("item").agg(num_events=views.count()))
    num_before, num_rare = None, 0
    while True:
        is_rare = support.num_events < min_item_support
        found = _read_row(
            support.agg(
                num_left=support.num_events.sum(),
                num_items=is_rare.sum(),
                num_events=is_rare.ifelse(support.num_events, 0).sum(),
            )
        )
        num_before = found["num_left"] if num_before is None else num_before
        if not found["num_items"]:
            num_left = found["num_left"]
            counts = Supported(num_rare=num_rare, num_short=num_before - num_rare - num_left, num_left=num_left)
            return items, sessions, counts
        num_rare += found["num_events"]
        rare = keep(support.filter(is_rare).select("item"))
        # The joins that keep the fewest events come first.
        touched = drop_all(views.semi_join(rare, "item"), items, sessions).select(*SESSION).distinct()
        items = keep(items.union(rare))
        rest = keep(drop_all(views.semi_join(touched, SESSION), items, sessions))
        short = keep(find_few(rest, SESSION, min_session_length))
        gone = rest.semi_join(short, SESSION)
        lost = gone.group_by(lost_item="item").agg(num_lost=gone.count())
        support = support.anti_join(rare, "item")
        support = support.left_join(lost, support.item == lost.lost_item)
        support = keep(support.select("item", num_events=support.num_events - support.num_lost.fill_null(0)))
        sessions = keep(sessions.union(short))


def split_sessions(
    views: ir.Table,
    items: ir.Table,
    sessions: ir.Table,
    keep: Keep,
    *,
    end_ms: int,
    test_days: int,
    valid_days: int,
    min_session_length: int,
) -> Splits:
    """Splits sessions by time: the last days are the test split, the days before them the validation split.

    Args:
        views: visitor, session_start, item, time.
        items: items to drop before the split.
        sessions: sessions to drop before the split.
        keep: computes and materialises a table that several expressions use.
        end_ms: end of the window in milliseconds since 1970.
        test_days: length of the test split in days.
        valid_days: length of the validation split in days.
        min_session_length: sessions that a cut shortens to fewer events are dropped.
    """
    test_start = end_ms - test_days * DAY_MS
    valid_start = test_start - valid_days * DAY_MS
    left = keep(drop_all(views.filter(views.time >= valid_start), items, sessions))
    held_out = []
    for start_ms in (test_start, valid_start):
        after = left.filter(left.time >= start_ms)
        older = keep(after.filter(after.session_start < start_ms).select(*SESSION).distinct())
        cut = keep(drop_all(views.filter(views.time < start_ms).semi_join(older, SESSION), items, sessions))
        held_out.append(after.anti_join(cut, SESSION))
        short = keep(find_few(cut, SESSION, min_session_length))
        sessions = keep(sessions.union(short))
        left = left.filter(left.time < start_ms).anti_join(short, SESSION)
    train = drop_all(views.filter(views.time < valid_start), items, sessions)
    return Splits(train=train, valid=held_out[1], test=held_out[0])


def order_events(views: ir.Table) -> ir.Table:
    """Sorts events by session start, visitor and time; equal times as in `cut_sessions`."""
    return views.order_by("session_start", "visitor", "time", *tie_order(views))


def count_rows(table: ir.Table) -> int:
    """Number of rows of a table."""
    return int(table.count().to_pyarrow().as_py())


def _read_row(table: ir.Table) -> dict[str, int]:
    """The only row of a table of numbers; null becomes 0."""
    [row] = table.to_pyarrow().to_pylist()
    return {name: int(value or 0) for name, value in row.items()}


def _windows(events: ir.Table, *, is_in_order: bool) -> tuple[Any, Any]:
    """Windows for lag and lead, and for cumulative sums; they are partitioned by visitor only if they sort."""
    order: dict[str, Any] = {}
    if not is_in_order:
        order = {"group_by": "visitor", "order_by": ["time", *tie_order(events)]}
    return ibis.window(**order), ibis.cumulative_window(**order)


def _begins_session(events: ir.Table, row: Any, max_gap_ms: int) -> ir.BooleanValue:
    """Whether each event is the first of its session."""
    is_other = events.visitor != events.visitor.lag().over(row)
    return (is_other | (events.time - events.time.lag().over(row) > max_gap_ms)).fill_null(True)


def _equals_row(events: ir.Table, names: list[str], row: Any, *, back: int) -> ir.BooleanValue:
    """Whether each event has the same values as the event `back` rows before it (after it, if negative)."""
    if not back:
        return ibis.literal(True)
    shifted = (events[name].lag(back) if back > 0 else events[name].lead(-back) for name in names)
    same = (events[name] == value.over(row) for name, value in zip(names, shifted, strict=True))
    return reduce(and_, same).fill_null(False)


def _filter(events: ir.Table, condition: ir.BooleanValue) -> ir.Table:
    """Filters events by a condition with windows; it is a separate column, because Spark has no QUALIFY."""
    events = events.mutate(is_kept=condition)
    return events.filter(events.is_kept).drop("is_kept")


def find_few(views: ir.Table, keys: list[str], minimum: int) -> ir.Table:
    """Keys with fewer than `minimum` rows."""
    counts = views.group_by(*keys).agg(num_events=views.count())
    return counts.filter(counts.num_events < minimum).select(*keys)


def tie_order(events: ir.Table) -> list[Any]:
    """Keys by which events of a visitor with equal times are sorted."""
    if "row" in events.columns:
        return ["row"]
    return ["item"] if events.item.type().is_integer() else [ibis._.item.length(), "item"]
