"""Splits rows of Parquet into accepted columns and rejected rows, by the same checks as lines of text."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.core.logs.checks import Checks
from components.core.logs.lines import TIME_LIMIT, Block
from components.core.logs.texts import Mask, Positions, find_invalid_values, show_all

TICKS = {"ms": 1, "us": 1_000, "ns": 1_000_000}  # ticks of a timestamp per millisecond; Parquet has no other units


def check_types(schema: pa.Schema, names: tuple[str, ...], source: str) -> None:
    """Checks that the column types represent ids and times exactly.

    Columns of type null pass this check, but all their rows are rejected later.

    Args:
        schema: schema of the Parquet file.
        names: names of the text columns, then of the time column.
        source: name of the file, for error messages.

    Raises:
        ValueError: a column is missing or duplicated, an id column has neither text nor integers, or the time column
            has neither integers nor timestamps.
    """
    if any(schema.names.count(name) != 1 for name in names):
        raise ValueError(f"Expected each of the columns {list(names)} once in {source}. Received: {schema.names}")
    for name in names:
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        is_time = name == names[-1]
        is_accepted = pa.types.is_timestamp(kind) if is_time else _is_text(kind)
        if not (is_accepted or pa.types.is_integer(kind) or pa.types.is_null(kind)):
            expected = "whole numbers or timestamps" if is_time else "text or whole numbers"
            raise ValueError(f"Expected {expected} in the column {name} of {source}. Received: {kind}")


def scan_rows(rows: pa.RecordBatch, names: tuple[str, ...], max_id_bytes: int) -> Block:
    """Checks each row and splits the batch into accepted and rejected rows.

    Args:
        rows: a batch with at least the named columns, whose types `check_types` accepts.
        names: names of the text columns, then of the time column.
        max_id_bytes: maximum length of a text in bytes.
    """
    checks = Checks(rows.num_rows)
    texts = []
    for name in names[:-1]:
        text = _to_binary(rows.column(name))
        checks.reject(_mask(pc.match_substring(text, b"\0")), "NUL byte")
        checks.reject(find_invalid_values(text), "invalid UTF-8")
        length = pc.binary_length(text).to_numpy(zero_copy_only=False)
        checks.reject(length == 0, f"empty {name}")
        checks.reject(length > max_id_bytes, f"{name} of over {max_id_bytes} bytes")
        texts.append(text)
    name = names[-1]
    time = rows.column(name)
    if pa.types.is_dictionary(time.type):
        time = time.dictionary_decode()
    times = _to_milliseconds(time)
    checks.reject(_mask(pc.is_null(time)), f"{name} is not an integer")
    checks.reject(times < 0, f"{name} is negative")
    checks.reject(times >= TIME_LIMIT, f"{name} is beyond the year 2200")
    kept, lines = checks.open_lines(), checks.rejected_lines()
    return Block(
        num_lines=rows.num_rows,
        ids=[text.take(pa.array(kept)).cast(pa.string()) for text in texts],
        times=pa.array(times[kept]),
        rejected=checks.to_rejected(_show_rows(texts, time, lines)) if len(lines) else None,
    )


def _is_text(kind: pa.DataType) -> bool:
    return any(
        check(kind)
        for check in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
        )
    )


def _to_binary(column: pa.Array) -> pa.BinaryArray:
    """Converts values to bytes; a null becomes an empty value."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_integer(column.type):
        column = column.cast(pa.string())
    return pc.fill_null(column.cast(pa.binary()), b"")


def _to_milliseconds(time: pa.Array) -> npt.NDArray[np.int64]:
    """Milliseconds since 1970 [num_rows]: negative for times before 1970, at least TIME_LIMIT for times beyond it."""
    if pa.types.is_uint64(time.type):
        time = pc.min_element_wise(time, pa.scalar(TIME_LIMIT, pa.uint64()), skip_nulls=False)
    numbers: npt.NDArray[np.int64] = pc.fill_null(time.cast(pa.int64()), 0).to_numpy()
    return numbers // TICKS[time.type.unit] if pa.types.is_timestamp(time.type) else numbers


def _mask(values: pa.BooleanArray) -> Mask:
    mask: Mask = values.to_numpy(zero_copy_only=False)
    return mask


def _show_rows(texts: list[pa.BinaryArray], time: pa.Array, lines: Positions) -> pa.StringArray:
    """Texts of the given rows, with tab-separated values."""
    rows = pa.array(lines)
    time = time.take(rows)
    if pa.types.is_timestamp(time.type):
        time = time.cast(pa.timestamp(time.type.unit))  # in UTC, independent of the machine's time zone database
    times = pc.fill_null(time.cast(pa.string()), "")
    return pc.binary_join_element_wise(*(show_all(text.take(rows)) for text in texts), times, "\t")
