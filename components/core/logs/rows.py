"""Rows of Parquet -> columns and rejected rows, by the checks that lines go through."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.core.logs.lines import TIME_LIMIT, Block, Checks, Mask, show


def check_types(schema: pa.Schema, names: tuple[str, ...], source: str) -> None:
    """Refuses columns whose type cannot hold exact ids or times.

    Args:
        schema: of the Parquet file.
        names: the text columns, then the time's.
        source: the file, for the message.

    Raises:
        ValueError: a column is missing, an id is neither text nor a whole number, or the time is neither a whole
            number nor a timestamp.
    """
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise ValueError(f"Expected the columns {list(names)} in {source}. Received: {schema.names}")
    for name in names:
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        is_time = name == names[-1]
        accepted = pa.types.is_timestamp(kind) if is_time else _is_text(kind)
        if not (accepted or pa.types.is_integer(kind)):
            expected = "whole numbers or timestamps" if is_time else "text or whole numbers"
            raise ValueError(f"Expected {expected} in the column {name} of {source}. Received: {kind}")


def scan_rows(rows: pa.RecordBatch, names: tuple[str, ...], max_id_bytes: int) -> Block:
    """Checks each row.

    Args:
        rows: a batch with at least the named columns, of types that `check_types` lets through.
        names: the text columns, then the time's.
        max_id_bytes: the longest text that is accepted.
    """
    checks = Checks(rows.num_rows)
    texts = []
    for name in names[:-1]:
        text = _to_binary(rows.column(name))
        checks.reject(_mask(pc.match_substring(text, b"\0")), "NUL byte")
        checks.reject(~_is_utf8(text), "invalid UTF-8")
        length = pc.fill_null(pc.binary_length(text), 0).to_numpy(zero_copy_only=False)
        checks.reject(length == 0, f"empty {name}")
        checks.reject(length > max_id_bytes, f"{name} of over {max_id_bytes} bytes")
        texts.append(text)
    name = names[-1]
    time = rows.column(name)
    if pa.types.is_dictionary(time.type):
        time = time.dictionary_decode()
    if pa.types.is_timestamp(time.type):
        time = time.cast(pa.timestamp("ms", time.type.tz), safe=False).cast(pa.int64())
    checks.reject(_mask(pc.is_null(time)), f"{name} is not an integer")
    checks.reject(_mask(pc.less(time, 0)), f"{name} is negative")
    checks.reject(_mask(pc.greater_equal(time, TIME_LIMIT)), f"{name} is beyond the year 2200")
    kept = pa.array(checks.open_lines())
    return Block(
        num_lines=rows.num_rows,
        ids=[text.take(kept).cast(pa.string()) for text in texts],
        times=time.take(kept).cast(pa.int64()),
        rejected=list(_rejected_rows(checks, texts, time)),
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
        )
    )


def _to_binary(column: pa.Array) -> pa.BinaryArray:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_integer(column.type):
        column = column.cast(pa.string())
    return column.cast(pa.binary())


def _mask(values: pa.BooleanArray) -> Mask:
    mask: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return mask


def _is_utf8(text: pa.BinaryArray) -> Mask:
    try:
        text.cast(pa.string())
    except pa.ArrowInvalid:
        return np.array([value is None or _decodes(value) for value in text.to_pylist()])
    return np.ones(len(text), np.bool_)


def _decodes(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _rejected_rows(checks: Checks, texts: list[pa.BinaryArray], time: pa.Array) -> Iterator[tuple[int, str, str]]:
    for row in sorted(checks.reasons):
        values = [text[row].as_py() or b"" for text in texts]
        time_text = "" if not time[row].is_valid else str(time[row].as_py())
        yield row, checks.reasons[row], "\t".join([*map(show, values), time_text])
