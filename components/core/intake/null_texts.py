"""Counts ids that are probably missing values which a program wrote as texts, such as NULL."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

WORDS = ("null", "none", "nan", "n/a", "undefined")
# As databases, Python, pandas, spreadsheets and JavaScript write them.
NULL_TEXTS = pa.array(
    sorted({form for word in WORDS for form in (word, word.upper(), word.capitalize())} | {r"\N", "NaN"})
)


def count_null_texts(events: pa.RecordBatch) -> Counter[str]:
    """Number of events by kind and text of the id, such as `item NULL`.

    Args:
        events: the ids of sessions or visitors are the first column, those of items the second.
    """
    kinds = zip(("session or visitor", "item"), events.columns, strict=False)
    return Counter({f"{kind} {text}": count for kind, ids in kinds for text, count in _count(ids).items()})


def _count(ids: pa.Array) -> dict[str, int]:
    """Number of events by each of NULL_TEXTS that occurs.

    Args:
        ids: [num_events] ids: integers, or texts that may be encoded as runs or with a dictionary.
    """
    is_run, is_coded = pa.types.is_run_end_encoded(ids.type), pa.types.is_dictionary(ids.type)
    values = ids.values if is_run else ids.dictionary if is_coded else ids
    if not pa.types.is_string(values.type):
        return {}
    is_null = pc.is_in(values, value_set=NULL_TEXTS)
    if not is_null.true_count:
        return {}
    found = values.filter(is_null).dictionary_encode()
    num_events = _count_events(ids)[is_null.to_numpy(zero_copy_only=False)]
    counts = np.bincount(found.indices.to_numpy(), weights=num_events)
    return dict(zip(found.dictionary.to_pylist(), map(int, counts), strict=True))


def _count_events(ids: pa.Array) -> npt.NDArray[np.int64]:
    """Number of events of each run or of each value of the dictionary; 1 for each id that is not encoded."""
    if pa.types.is_run_end_encoded(ids.type):
        lengths: npt.NDArray[np.int64] = np.diff(ids.run_ends.to_numpy(), prepend=0)
        return lengths
    if pa.types.is_dictionary(ids.type):
        return np.bincount(ids.indices.to_numpy(), minlength=len(ids.dictionary))
    return np.ones(len(ids), np.int64)
