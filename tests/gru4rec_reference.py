"""The GRU4Rec preparation in plain pandas, the oracle of `sessionize`; whole numbers or texts as ids."""

from pathlib import Path

import pandas as pd

DAY_MS = 24 * 60 * 60 * 1000


def read(path: Path, *, ids_as: type = str) -> pd.DataFrame:
    """Visitor, time, event and item of a comma-separated log."""
    columns = {"visitorid": "visitor", "timestamp": "time", "event": "event", "itemid": "item"}
    return pd.read_csv(path, usecols=list(columns), dtype={"visitorid": ids_as, "itemid": ids_as}).rename(
        columns=columns
    )


def prepare(
    log: pd.DataFrame,
    *,
    event_types=("view",),
    gap_ms=60 * 60 * 1000,
    min_session_length=2,
    min_item_count=5,
    end=None,
    window_days=0,
    days=7,
) -> dict[str, pd.DataFrame]:
    """Train, valid and test with the columns session, item, time, and `before`: train without valid carved out."""
    end = log["time"].max() if end is None else end
    log = log[log["time"] <= end]
    if window_days:
        log = log[log["time"] > end - window_days * DAY_MS]
    keys = ["visitor", "time", "item"]
    if not pd.api.types.is_integer_dtype(log["item"]):
        log = log.assign(length=log["item"].str.len())
        keys.insert(2, "length")
    log = log.sort_values(keys)
    starts = (log["visitor"] != log["visitor"].shift()) | (log["time"].diff() > gap_ms)
    log = log.assign(session=starts.cumsum())
    log = log[log["event"].isin(event_types)]
    log = log[(log["session"] != log["session"].shift()) | (log["item"] != log["item"].shift())]
    num_before = -1
    while num_before != len(log):
        num_before = len(log)
        log = log[log.groupby("session")["item"].transform("size") >= min_session_length]
        log = log[log.groupby("item")["session"].transform("size") >= min_item_count]
    before, test = hold_out(log, end - days * DAY_MS, min_session_length)
    train, valid = hold_out(before, end - 2 * days * DAY_MS, min_session_length)
    return {"train": train, "valid": valid, "test": test, "before": before}


def hold_out(log: pd.DataFrame, boundary: int, min_session_length: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What lies before the boundary, and the sessions that start behind it."""
    start = log.groupby("session")["time"].transform("min")
    before = log[log["time"] < boundary]
    before = before[before.groupby("session")["item"].transform("size") >= min_session_length]
    return before, log[start >= boundary]
