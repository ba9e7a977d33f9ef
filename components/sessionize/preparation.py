"""Cuts the staged events into sessions, and filters, counts and splits them."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ibis.expr.types as ir

from components.core.intake.draft import EventsDraft
from components.core.logs.times import TIME_LIMIT
from components.sessionize.bots import BotBounds, BotCounts, cut_bots
from components.sessionize.engines import Engine, Expression
from components.sessionize.sessions import (
    Splits,
    count_outside,
    count_rows,
    count_suspicious,
    cut_sessions,
    find_busy,
    find_tied,
    find_unsupported,
    split_sessions,
    within,
)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How sessions are cut, filtered and split.

    Attributes:
        max_gap_ms: maximum gap between two events of a session in milliseconds; None if the sessions are given.
        has_file_order: whether events at equal times are in the order of the file, otherwise in that of their items.
        drop_repeats: whether to drop events that have the same item as the previous event of the session.
        bots: how many events are too many.
        min_session_length: sessions with fewer events are dropped.
        min_item_support: items with fewer events are dropped.
        end_ms: end of the window in milliseconds since 1970.
        window_days: length of the window in days; 0 for no lower bound.
        test_days: length of the test split in days.
        valid_days: length of the validation split in days.
    """

    max_gap_ms: int | None
    has_file_order: bool
    drop_repeats: bool
    bots: BotBounds
    min_session_length: int
    min_item_support: int
    end_ms: int
    window_days: int
    test_days: int
    valid_days: int

    def run(
        self, engine: Engine, parts: list[list[Path]], draft: EventsDraft, *, num_counting: int
    ) -> tuple[Splits, int]:
        """Makes the splits and records in the draft what is found and dropped before them.

        Args:
            engine: runs the expressions.
            parts: staged events in parts, see `StagedLog.close`.
            draft: records the findings and the dropped events.
            num_counting: number of staged events whose type is kept.

        Returns:
            The splits, and the number of events that are left before sessions are cut where a split begins.
        """
        max_gap_ms = TIME_LIMIT if self.max_gap_ms is None else self.max_gap_ms
        in_window = partial(within, end_ms=self.end_ms, window_days=self.window_days)
        expressions: list[Expression] = [
            lambda events: cut_sessions(
                in_window(events),
                max_gap_ms=max_gap_ms,
                min_session_length=self.min_session_length,
                drop_repeats=self.drop_repeats,
                is_in_order=engine.reads_in_order,
            ),
            lambda events: count_suspicious(
                in_window(events),
                max_gap_ms=max_gap_ms,
                max_events=self.bots.suspicious_events,
                is_in_order=engine.reads_in_order,
            ),
            lambda events: count_outside(events, end_ms=self.end_ms, window_days=self.window_days),
        ]
        if self.has_file_order:
            expressions.append(lambda events: find_tied(in_window(events), is_in_order=engine.reads_in_order))
        views, suspicious, outside, *tied = engine.keep_parts(parts, *expressions)
        num_outside = _sum(outside.num_events)
        draft.drop("outside the window", num_outside)
        num_repeats = _sum(suspicious.num_repeats) if self.drop_repeats else 0
        draft.drop("repeats", num_repeats)
        num_short = num_counting - num_outside - num_repeats - count_rows(views)
        if tied:
            draft.findings["duplicates"] += count_rows(tied[0]) - count_rows(tied[0].distinct())
        else:
            draft.findings["duplicates"] += _sum(suspicious.num_duplicates)

        bots = BotCounts()
        if _sum(suspicious.num_beyond):
            busy = engine.keep(find_busy(views, max_events=self.bots.suspicious_events))
            views, bots = cut_bots(views, busy, engine.keep, self.bots, min_session_length=self.min_session_length)
        draft.findings["busy_visitors"] += bots.num_visitors
        draft.findings["long_sessions"] += bots.num_sessions
        draft.drop("busy visitors", bots.num_visitor_events)
        draft.drop("long sessions", bots.num_session_events)

        items, sessions, supported = find_unsupported(
            views,
            engine.keep,
            min_session_length=self.min_session_length,
            min_item_support=self.min_item_support,
        )
        draft.drop("sessions too short", num_short + bots.num_short + supported.num_short)
        draft.drop("items too rare", supported.num_rare)
        splits = split_sessions(
            views,
            items,
            sessions,
            engine.keep,
            end_ms=self.end_ms,
            test_days=self.test_days,
            valid_days=self.valid_days,
            min_session_length=self.min_session_length,
        )
        return splits, supported.num_left


def _sum(numbers: ir.IntegerColumn) -> int:
    """Sum of numbers; 0 without any."""
    return int(numbers.sum().to_pyarrow().as_py() or 0)
