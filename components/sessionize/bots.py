"""Cuts or drops the events of visitors and sessions with so many events that they are those of bots."""

from collections.abc import Callable
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from components.sessionize.sessions import SESSION, count_rows, find_few, tie_order

MAX_LAG = 2000  # DuckDB needs less than 2,048 for a window that reads rows as they arrive


@dataclass(frozen=True, kw_only=True)
class BotBounds:
    """How many events are too many.

    Attributes:
        max_visitor_events: maximum number of events of a visitor; 0 for no maximum.
        max_session_events: maximum number of events of a session; 0 for no maximum.
        action: `cut` to keep the first events up to the maximum, `drop` to drop all.
    """

    max_visitor_events: int
    max_session_events: int
    action: str

    @property
    def suspicious_events(self) -> int:
        """Number of events beyond which a visitor is checked; 0 if there is no maximum."""
        maxima = [bound for bound in (self.max_visitor_events, self.max_session_events) if bound]
        return min(MAX_LAG, *maxima) if maxima else 0


@dataclass(frozen=True, kw_only=True)
class BotCounts:
    """Numbers of visitors and sessions with too many events, and of events that were dropped.

    Attributes:
        num_visitors: number of visitors with too many events.
        num_visitor_events: number of their events that were dropped.
        num_sessions: number of sessions with too many events.
        num_session_events: number of their events that were dropped.
        num_short: number of events in sessions that became too short.
    """

    num_visitors: int = 0
    num_visitor_events: int = 0
    num_sessions: int = 0
    num_session_events: int = 0
    num_short: int = 0


def cut_bots(
    views: ir.Table,
    suspects: ir.Table,
    keep: Callable[[ir.Table], ir.Table],
    bounds: BotBounds,
    *,
    min_session_length: int,
) -> tuple[ir.Table, BotCounts]:
    """Cuts or drops the visitors with too many events, then the remaining sessions with too many events.

    Args:
        views: result of `sessions.cut_sessions`.
        suspects: the visitors that may have too many events; no other visitor has a session with too many.
        keep: computes and materialises a table that several expressions use.
        bounds: how many events are too many.
        min_session_length: sessions with fewer events are dropped.

    Returns:
        The views that are left, and what was dropped.
    """
    if not count_rows(suspects):
        return views, BotCounts()
    own = keep(views.semi_join(suspects, "visitor"))
    own, num_visitors, num_visitor_events = _cut(own, ["visitor"], keep, bounds.max_visitor_events, bounds.action)
    own, num_sessions, num_session_events = _cut(own, SESSION, keep, bounds.max_session_events, bounds.action)
    left = keep(own.anti_join(find_few(own, SESSION, min_session_length), SESSION))
    counts = BotCounts(
        num_visitors=num_visitors,
        num_visitor_events=num_visitor_events,
        num_sessions=num_sessions,
        num_session_events=num_session_events,
        num_short=count_rows(own) - count_rows(left),
    )
    return keep(views.anti_join(suspects, "visitor").union(left)), counts


def _cut(
    events: ir.Table, keys: list[str], keep: Callable[[ir.Table], ir.Table], maximum: int, action: str
) -> tuple[ir.Table, int, int]:
    """Applies a maximum number of events per key; returns the events left, and the numbers of keys and events cut."""
    if not maximum:
        return events, 0, 0
    order = ibis.window(group_by=keys, order_by=["time", *tie_order(events)])
    placed = events.mutate(place=ibis.row_number().over(order), num_events=events.count().over(group_by=keys))
    placed = keep(placed)
    is_dropped = placed.num_events > maximum
    num_keys = count_rows(placed.filter(is_dropped).select(*keys).distinct())
    if action == "cut":
        is_dropped &= placed.place >= maximum
    left = keep(placed.filter(~is_dropped).drop("place", "num_events"))
    return left, num_keys, count_rows(placed) - count_rows(left)
