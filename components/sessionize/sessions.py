"""Raw events -> filtered sessions -> splits, as Ibis expressions that run on DuckDB and on Spark alike."""

from collections.abc import Callable
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

DAY_MS = 24 * 60 * 60 * 1000
SESSION = ["visitor", "session_start"]
Keep = Callable[[ir.Table], ir.Table]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Tables with the columns visitor, session_start, item and time."""

    train: ir.Table
    valid: ir.Table
    test: ir.Table


def cut_sessions(events: ir.Table, *, max_gap_ms: int) -> ir.Table:
    """Gives each event that counts its session, and marks those that repeat the one before.

    A session of a visitor ends where more than `max_gap_ms` pass before the next event, whether it counts or not. It is
    named by the time of its first event. Events at the same time are taken in the order of their items: whole numbers
    by size, other texts by length and then by their bytes, which for numbers in their shortest form is the same.

    Args:
        events: visitor, item, counts (whether the event is of a type that does), time in milliseconds.
        max_gap_ms: of a session, in milliseconds.

    Returns:
        visitor, session_start, item, time of the events that count, and two flags: `is_repeat`, where the item is that
        of the one before in the session, and `is_duplicate`, where its time is too.
    """
    gap = events.time - events.time.lag().over(ibis.window(group_by="visitor", order_by="time"))
    is_first = gap.isnull() | (gap > max_gap_ms)
    events = events.mutate(started=is_first.ifelse(events.time, ibis.null("int64")))
    # A range takes in all events at the same time, the one that starts the session among them.
    so_far = ibis.window(group_by="visitor", order_by="time", range=(None, 0))
    events = events.mutate(session_start=events.started.max().over(so_far))
    views = events.filter(events.counts)
    before = ibis.window(group_by="visitor", order_by=["time", *_item_order(views)])
    time_before = views.time.lag().over(before)
    is_repeat = ((views.item == views.item.lag().over(before)) & (time_before >= views.session_start)).fill_null(False)
    is_same_time = (views.time == time_before).fill_null(False)
    return views.select(*SESSION, "item", "time", is_repeat=is_repeat, is_duplicate=is_repeat & is_same_time)


def drop_short(views: ir.Table, min_session_length: int) -> ir.Table:
    """Drops sessions with fewer events than the minimum."""
    return views.anti_join(_too_few(views, SESSION, min_session_length), SESSION)


def drop_all(views: ir.Table, items: ir.Table, sessions: ir.Table) -> ir.Table:
    """Drops the events of these items and those of these sessions."""
    return views.anti_join(items, "item").anti_join(sessions, SESSION)


def find_unsupported(
    views: ir.Table, keep: Keep, *, min_session_length: int, min_item_support: int
) -> tuple[ir.Table, ir.Table]:
    """Finds the items and the sessions to drop, so that neither a rare item nor a short session is left.

    What is left at the end does not depend on the order of the drops, so after the first pass only sessions with an
    item that was dropped are looked at again, and what the items lose with them is subtracted.

    Args:
        views: visitor, session_start, item, time, without short sessions.
        keep: computes a table once for all its uses.
        min_session_length: sessions with fewer events are dropped.
        min_item_support: items with fewer events are dropped.
    """
    items, sessions = (keep(views.select(*keys).limit(0)) for keys in (["item"], SESSION))
    support = keep(views.group_by("item").agg(num_events=views.count()))
    while True:
        rare = keep(support.filter(support.num_events < min_item_support).select("item"))
        if rare.count().to_pyarrow().as_py() == 0:
            return items, sessions
        left = drop_all(views, items, sessions)
        touched = left.semi_join(rare, "item").select(*SESSION).distinct()
        rest = keep(left.semi_join(touched, SESSION).anti_join(rare, "item"))
        short = keep(_too_few(rest, SESSION, min_session_length))
        gone = rest.semi_join(short, SESSION)
        lost = gone.group_by(lost_item="item").agg(num_lost=gone.count())
        support = support.anti_join(rare, "item")
        support = support.left_join(lost, support.item == lost.lost_item)
        support = keep(support.select("item", num_events=support.num_events - support.num_lost.fill_null(0)))
        items, sessions = keep(items.union(rare)), keep(sessions.union(short))


def split_sessions(
    views: ir.Table, keep: Keep, *, end_ms: int, test_days: int, valid_days: int, min_session_length: int
) -> Splits:
    """Holds out the sessions that start in the last days before `end_ms`, and those of the days before for validation.

    Args:
        views: visitor, session_start, item, time.
        keep: computes a table once for all its uses.
        end_ms: end of the window, milliseconds since 1970.
        test_days: length of the test split.
        valid_days: length of the validation split before it.
        min_session_length: sessions of which a cut leaves fewer events are dropped.
    """
    test_start = end_ms - test_days * DAY_MS
    before, test = _hold_out(views, keep, test_start, min_session_length)
    train, valid = _hold_out(before, keep, test_start - valid_days * DAY_MS, min_session_length)
    return Splits(train=train, valid=valid, test=test)


def count_starts(views: ir.Table, *, width_ms: int) -> ir.Table:
    """The number of events in the sessions that start in each `width_ms` since 1970: `span`, in order, and `count`."""
    spans = views.select(span=(views.session_start // width_ms).cast("int64"))
    return spans.group_by("span").agg(count=spans.count()).order_by("span")


def order_events(views: ir.Table, *, begin_ms: int, end_ms: int) -> ir.Table:
    """The sessions that start within a time, each in one piece; equal times by item, as `cut_sessions` takes them."""
    chosen = views.filter(views.session_start >= begin_ms, views.session_start < end_ms)
    return chosen.order_by("session_start", "visitor", "time", *_item_order(chosen))


def _hold_out(views: ir.Table, keep: Keep, start_ms: int, min_session_length: int) -> tuple[ir.Table, ir.Table]:
    """What lies before a time, sessions cut there, and the sessions that begin after it."""
    before, after = views.filter(views.time < start_ms), views.filter(views.time >= start_ms)
    older = keep(after.filter(after.session_start < start_ms).select(*SESSION).distinct())
    straddling = keep(before.semi_join(older, SESSION))
    short = keep(_too_few(straddling, SESSION, min_session_length))
    return before.anti_join(short, SESSION), after.anti_join(straddling, SESSION)


def _too_few(views: ir.Table, keys: list[str], minimum: int) -> ir.Table:
    """The keys with fewer rows than the minimum."""
    counts = views.group_by(*keys).agg(num_events=views.count())
    return counts.filter(counts.num_events < minimum).select(*keys)


def _item_order(events: ir.Table) -> list[ir.Value]:
    return [events.item] if events.item.type().is_integer() else [events.item.length(), events.item]
