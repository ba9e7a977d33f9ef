"""Sorts events into the order in which they are cut into sessions."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.core.intake.ordering import sort_ties

KEY_BITS = 63

Longs = npt.NDArray[np.int64]


def sort_visits(events: pa.Table) -> pa.Table:
    """Groups events by visitor, and sorts the events of each visitor by time, then by row or, without rows, by item.

    The order of the visitors is arbitrary.

    Args:
        events: table with the columns of `staged_log.EVENT_NAMES` and integer ids, and maybe the column row.
    """
    if not len(events):
        return events
    tie = "row" if "row" in events.column_names else "item"
    visitor, second, time = (events[name].combine_chunks() for name in ("visitor", tie, "time"))
    keys = _pack(visitor, time.to_numpy())
    order = sort_ties(np.argsort(keys), keys, second.take)
    return events.take(pa.array(order))


def _pack(visitor: pa.Array, times: Longs) -> Longs:
    """Packs visitor (high bits) and time (low bits) into one sort key [num_events] per event."""
    times = times - times.min()
    codes = visitor.to_numpy()
    if _num_bits(codes) + _num_bits(times) > KEY_BITS:
        codes = visitor.dictionary_encode().indices.to_numpy()
    if _num_bits(codes) + _num_bits(times) > KEY_BITS:
        _, times = np.unique(times, return_inverse=True)
    packed: Longs = codes.astype(np.int64) << _num_bits(times) | times
    return packed


def _num_bits(numbers: npt.NDArray[np.integer]) -> int:
    return int(numbers.max()).bit_length()
