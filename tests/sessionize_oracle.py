"""`sessionize` event by event in plain Python: the splits, the funnel and the findings of a small log."""

from collections import Counter, defaultdict
from itertools import groupby

DAY_MS = 24 * 60 * 60 * 1000


def prepare(rows, parameters, end_ms):
    """Splits, dropped events by label, and findings.

    Args:
        rows: (visitor or session, item, event type or None, time) of each accepted line, in the order of the file.
        parameters: SessionizeParameters.
        end_ms: end of the window.
    """
    dropped, findings = Counter(), Counter()
    events = [(key, item, kind, time, place) for place, (key, item, kind, time) in enumerate(rows)]
    for _, _, kind, _, _ in events:
        if not counts(kind, parameters):
            dropped[f"event type: {kind}"] += 1
    begin_ms = end_ms - parameters.window_days * DAY_MS if parameters.window_days else -1
    inside = [event for event in events if begin_ms < event[3] <= end_ms]
    outside = [event for event in events if not begin_ms < event[3] <= end_ms]
    dropped["outside the window"] = sum(counts(event[2], parameters) for event in outside)
    seen = Counter((key, item, time) for key, item, kind, time, _ in inside if counts(kind, parameters))
    findings["duplicates"] = sum(count - 1 for count in seen.values())

    sessions = cut(inside, parameters)
    for name, events in sessions.items():
        kept = []
        for event in events:
            if not counts(event[2], parameters):
                continue
            if parameters.drop_repeats and kept and kept[-1][1] == event[1]:
                dropped["repeats"] += 1
            else:
                kept.append(event)
        sessions[name] = kept
    drop_short(sessions, parameters, dropped)
    drop_bots(sessions, parameters, dropped, findings)
    while True:
        drop_short(sessions, parameters, dropped)
        support = Counter(event[1] for events in sessions.values() for event in events)
        rare = {item for item, count in support.items() if count < parameters.min_item_support}
        if not rare:
            break
        for name, events in sessions.items():
            sessions[name] = [event for event in events if event[1] not in rare]
            dropped["items too rare"] += len(events) - len(sessions[name])
    splits = hold_out(sessions, parameters, end_ms, dropped)
    for split in splits.values():
        for events in split.values():
            findings["ties"] += len({event[3] for event in events}) < len(events)
    return splits, {label: count for label, count in dropped.items() if count}, findings


def counts(kind, parameters):
    return not parameters.event_column or kind is None or kind in parameters.event_types


def cut(events, parameters):
    by_key = defaultdict(list)
    for event in events:
        by_key[event[0]].append(event)
    sessions = {}
    for key, own in by_key.items():
        own.sort(key=lambda event: (event[3], *tie(event, parameters)))
        start, last = None, None
        for event in own:
            is_new = start is None or (
                not parameters.session_column and event[3] - last > parameters.max_gap_minutes * 60_000
            )
            start = event[3] if is_new else start
            last = event[3]
            sessions.setdefault((key, start), []).append(event)
    return sessions


def tie(event, parameters):
    return (event[4],) if parameters.tie_order == "file" else (len(event[1]), event[1].encode())


def drop_short(sessions, parameters, dropped):
    for name, events in list(sessions.items()):
        if len(events) < parameters.min_session_length:
            dropped["sessions too short"] += len(events)
            del sessions[name]


def drop_bots(sessions, parameters, dropped, findings):
    keys = [(lambda name: name, parameters.max_session_events, "long sessions", "long_sessions")]
    if not parameters.session_column:
        keys.insert(0, (lambda name: name[0], parameters.max_visitor_events, "busy visitors", "busy_visitors"))
    for key, maximum, label, finding in keys:
        if not maximum:
            continue
        for _, names in groupby(sorted(sessions), key):
            names = list(names)  # in the order of time
            places = [(name, event) for name in names for event in sessions[name]]
            if len(places) <= maximum:
                continue
            findings[finding] += 1
            left = places[:maximum] if parameters.bot_action == "cut" else []
            dropped[label] += len(places) - len(left)
            for name in names:
                sessions[name] = [event for other, event in left if other == name]


def hold_out(sessions, parameters, end_ms, dropped):
    splits = {}
    start = end_ms
    for split, days in (("test", parameters.test_days), ("valid", parameters.valid_days)):
        start -= days * DAY_MS
        splits[split] = {}
        for name, events in list(sessions.items()):
            before = [event for event in events if event[3] < start]
            if not before:
                splits[split][name] = sessions.pop(name)
                continue
            dropped["cut at a split boundary"] += len(events) - len(before)
            sessions[name] = before
            if len(before) < parameters.min_session_length:
                dropped["cut at a split boundary"] += len(before)
                del sessions[name]
    return {"train": sessions, **splits}
