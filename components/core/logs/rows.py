"""Reads the columns of Parquet and splits its rows into accepted and rejected ones."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from components.core.logs.blocks import Block, FileColumns
from components.core.logs.checks import Checks
from components.core.logs.texts import Longs, Positions, show_all, to_mask
from components.core.logs.times import TIME_LIMIT, Failed, TimeFormat
from components.core.logs.values import check_values
from components.core.presentation import shorten

TICKS = {"ms": 1, "us": 1_000, "ns": 1_000_000}  # ticks of a timestamp per millisecond
TEXT_TYPES = (pt.is_string, pt.is_large_string, pt.is_string_view)
BINARY_TYPES = (pt.is_binary, pt.is_large_binary, pt.is_binary_view)


def check_types(schema: pa.Schema, columns: FileColumns, source: str) -> None:
    """Checks that the column types represent ids and times exactly.

    Columns of type null pass this check, but all their rows are rejected later.

    Args:
        schema: schema of the Parquet file.
        columns: the columns of the file.
        source: name of the file, for error messages.

    Raises:
        ValueError: an id column has neither text nor integers, the time column has neither integers, doubles,
            timestamps, dates nor text, or the offset column has no integers.
    """
    for name in columns.in_file:
        kind = get_type(schema, name)
        if pt.is_integer(kind) or pt.is_null(kind) or _is_whole(kind):
            continue
        if name in columns.text:
            expected, is_accepted = "text or whole numbers", _is_any(kind, (*TEXT_TYPES, *BINARY_TYPES))
        elif name == columns.time:
            expected = "whole numbers, doubles, decimals, timestamps, dates or text"
            is_accepted = is_moment(kind) or _is_any(kind, (pt.is_float64, pt.is_decimal, *TEXT_TYPES))
        else:
            expected, is_accepted = "whole numbers", False
        if not is_accepted:
            raise ValueError(f"Expected {expected} in the column {name} of {source}. Received: {shorten(str(kind))}")


def get_type(schema: pa.Schema, name: str) -> pa.DataType:
    """Type of the values of a column."""
    kind = schema.field(name).type
    return kind.value_type if pt.is_dictionary(kind) else kind


def _is_whole(kind: pa.DataType) -> bool:
    """Whether the type is a decimal without a fraction, as some databases export whole numbers."""
    return bool(pt.is_decimal(kind)) and kind.scale == 0


def is_moment(kind: pa.DataType) -> bool:
    """Whether the type is a timestamp or a date, whose unit is known."""
    return bool(pt.is_timestamp(kind) or pt.is_date(kind))


def sample_times(rows: pa.RecordBatch, name: str) -> list[str]:
    """Returns the times of a column as texts, for `TimeFormat.detect`; none if the type says the unit."""
    time = _decode(rows.column(name))
    if is_moment(time.type) or pt.is_null(time.type):
        return []
    if pt.is_floating(time.type):
        return [f"{value:.9f}" for value in time.to_pylist() if value is not None and np.isfinite(value)]
    return [str(value) for value in time.to_pylist() if value is not None]


def scan_rows(rows: pa.RecordBatch, columns: FileColumns) -> Block:
    """Checks each row and splits the batch into accepted and rejected rows.

    Args:
        rows: a batch with at least the columns of the file, whose types `check_types` accepts.
        columns: the columns of the file.
    """
    texts = [_to_binary(rows.column(name)) for name in columns.text]
    moments = {name: _decode(rows.column(name)) for name in columns.in_file[len(columns.text) :]}
    times, failed = read_times(columns, moments, len(rows))
    return check_values(
        texts,
        times,
        failed,
        columns,
        checks=Checks(rows.num_rows),
        num_lines=rows.num_rows,
        show=lambda rejected: _show_rows(texts, list(moments.values()), rejected),
    )


def read_times(columns: FileColumns, values: Mapping[str, pa.Array], num_rows: int) -> tuple[Longs, Failed]:
    """Converts typed times and their offsets.

    Args:
        columns: the columns of the file.
        values: [num_rows] values of the time column and of the offset column that are in the file, by name.
        num_rows: number of rows.

    Returns:
        Milliseconds since 1970 [num_rows], and the reasons with disjoint masks [num_rows] of the times that failed.
    """

    def read(name: str, time_format: TimeFormat) -> tuple[Longs, Failed]:
        if name in values:
            return _read_times(values[name], time_format, name)
        return time_format.parse(pa.repeat(columns.constants[name], num_rows), name)

    times, failed = read(columns.time, columns.time_format)
    if not columns.time_offset:
        return times, failed
    return columns.add_offsets(times, failed, *read(columns.time_offset, TimeFormat()))


def _is_any(kind: pa.DataType, checks: tuple[Callable[[pa.DataType], Any], ...]) -> bool:
    return any(bool(check(kind)) for check in checks)


def _decode(column: pa.Array) -> pa.Array:
    """Returns the values of a dictionary, and decimals as text, which holds each of them exactly."""
    values = column.dictionary_decode() if pt.is_dictionary(column.type) else column
    return values.cast(pa.string()) if pt.is_decimal(values.type) else values


def _to_binary(column: pa.Array) -> pa.BinaryArray:
    """Converts values to bytes; a null becomes an empty value."""
    column = _decode(column)
    if pt.is_integer(column.type):
        column = column.cast(pa.string())
    return pc.fill_null(column.cast(pa.binary()), b"")


def _read_times(time: pa.Array, time_format: TimeFormat, name: str) -> tuple[Longs, Failed]:
    """Converts values to milliseconds since 1970, and finds those out of range."""
    if _is_any(time.type, TEXT_TYPES):
        return time_format.parse(pc.fill_null(time.cast(pa.string()), ""), name)
    missing = to_mask(pc.is_null(time, nan_is_null=True))
    if is_moment(time.type):
        time_format, times = TimeFormat(), _from_timestamps(time)
    elif pt.is_floating(time.type):
        numbers = pc.fill_null(time, 0).to_numpy(zero_copy_only=False).astype(np.float64)
        numbers = np.clip(np.where(missing, 0, numbers), -(2.0**62), 2.0**62)
        is_seconds = time_format.name == "seconds"
        whole = np.floor(numbers).astype(np.int64)
        times = time_format.to_milliseconds(whole)
        if is_seconds:
            times = times + np.rint((numbers - np.floor(numbers)) * 1000).astype(np.int64)
    else:
        if pt.is_uint64(time.type):
            time = pc.min_element_wise(time, pa.scalar(2**63 - 1, pa.uint64()), skip_nulls=False)
        times = time_format.to_milliseconds(pc.fill_null(time.cast(pa.int64()), 0).to_numpy())
    failed = [(f"empty {name}", missing)] if missing.any() else []
    out = [(reason, mask & ~missing) for reason, mask in time_format.check(times, name)]
    return times, failed + [(reason, mask) for reason, mask in out if mask.any()]


def _from_timestamps(time: pa.Array) -> Longs:
    if pt.is_date(time.type):
        time = time.cast(pa.timestamp("ms"))
    numbers: Longs = pc.fill_null(time.cast(pa.int64()), 0).to_numpy()
    if time.type.unit == "s":
        return np.clip(numbers, -TIME_LIMIT, TIME_LIMIT) * 1000
    return numbers // TICKS[time.type.unit]


def _show_rows(texts: list[pa.BinaryArray], times: list[pa.Array], rejected: Positions) -> pa.StringArray:
    """Texts of the given rows, with tab-separated values."""
    rows = pa.array(rejected)
    shown = [show_all(text.take(rows)) for text in texts]
    for time in times:
        time = time.take(rows)
        if pt.is_timestamp(time.type):
            time = time.cast(pa.timestamp(time.type.unit))  # in UTC, independent of the machine's time zone database
        shown.append(pc.fill_null(time.cast(pa.string()), ""))
    return pc.binary_join_element_wise(*shown, "\t")
