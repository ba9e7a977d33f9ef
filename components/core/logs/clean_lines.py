"""Parses blocks of valid lines with a CSV reader; `lines.scan_block` parses all other blocks."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pc_csv

from components.core.logs.blocks import Block, Ids
from components.core.logs.formats import BYTE_ORDER_MARK
from components.core.logs.lines import Layout
from components.core.logs.texts import get_buffers, is_utf8

MAX_DIGITS = 18  # every number of 18 digits fits in an int64


def scan_clean(block: bytes, layout: Layout) -> Block | None:
    """Returns the result of `lines.scan_block` several times as fast, or None if a line may have to be rejected.

    If `layout.is_quoted`, all quotes must enclose fields or be doubled inside of them.
    """
    if b"\0" in block or block.startswith(BYTE_ORDER_MARK):
        return None
    if not is_utf8(block):
        return None
    has_quotes = layout.is_quoted and b'"' in block
    num_returns = block.count(b"\r") if b"\r" in block else 0
    if num_returns and num_returns != block.count(b"\r\n"):
        return None
    if has_quotes:
        return _scan_texts(block, layout, has_quotes=True)
    return _scan_numbers(block, num_returns, layout) or _scan_texts(block, layout, has_quotes=False)


def _scan_numbers(block: bytes, num_returns: int, layout: Layout) -> Block | None:
    """Reads integer ids as int64; None if the first line has no integer id, or an integer is not in canonical form.

    The canonical form of an integer is its shortest decimal text. All integers are in canonical form if and only if
    the lengths of the canonical forms, the other fields and the separators add up to the length of the block.
    """
    fields = block[: block.find(b"\n")].split(layout.delimiter.encode())
    ids = {field for field in layout.text_fields if field < len(fields) and fields[field].isdigit()}
    if not ids or b"x" in block or b"X" in block:  # the CSV reader parses hexadecimal numbers
        return None
    time = layout.position(layout.columns.time)
    has_number = time is not None and time < len(fields) and fields[time].isdigit()
    whole = [time] if time is not None and has_number and layout.columns.time_format.is_number else []
    columns = _read_columns(block, layout, range(layout.num_fields), {*ids, *whole})
    if columns is None:
        return None
    num_bytes = num_returns + len(columns[0]) * layout.num_fields - (not block.endswith(b"\n"))
    for column in columns:
        if pa.types.is_integer(column.type):
            values = column.to_numpy()
            if values.min(initial=0) < 0:
                return None
            num_bytes += _count_digits(values)
        else:
            offsets, _ = get_buffers(column)
            num_bytes += int(offsets[-1] - offsets[0])
    if num_bytes != len(block):
        return None
    return _make_block(block, layout, [columns[field] for field in layout.fields])


def _scan_texts(block: bytes, layout: Layout, *, has_quotes: bool) -> Block | None:
    columns = _read_columns(block, layout, layout.fields, set(), has_quotes=has_quotes)
    return None if columns is None else _make_block(block, layout, columns)


def _make_block(block: bytes, layout: Layout, columns: list[Ids]) -> Block | None:
    """Checks the columns of `layout.fields`; None if a value has to be rejected."""
    found = layout.columns
    ids = columns[: len(found.text)]
    if not all(_is_short(column, found.max_id_bytes) for column in ids):
        return None
    by_name = dict(zip(found.in_file, columns, strict=True))
    num_rows = len(columns[0])
    time = by_name.get(found.time)
    if time is not None and pa.types.is_integer(time.type) and not found.time_offset:
        times = found.time_format.to_milliseconds(time.to_numpy())
        failed = found.time_format.check(times, found.time)
    else:
        times, failed = found.parse_times(
            lambda name: (
                by_name[name].cast(pa.string()) if name in by_name else pa.repeat(found.constants[name], num_rows)
            )
        )
    if failed:
        return None
    num_lines = block.count(b"\n") + (not block.endswith(b"\n")) if layout.is_quoted else num_rows
    return Block(num_rows=num_rows, num_lines=num_lines, ids=ids, times=pa.array(times), rejected=None)


def _read_columns(
    block: bytes, layout: Layout, fields: Sequence[int], whole: set[int], *, has_quotes: bool = False
) -> list[Ids] | None:
    """Reads the columns `fields`, those in `whole` as int64; None if a line or a number cannot be parsed."""
    names = [str(field) for field in range(layout.num_fields)]
    types = {names[field]: pa.int64() if field in whole else pa.string() for field in fields}
    try:
        table = pc_csv.read_csv(
            pa.BufferReader(block),
            pc_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            pc_csv.ParseOptions(
                delimiter=layout.delimiter,
                quote_char='"' if has_quotes else False,
                double_quote=True,
                newlines_in_values=has_quotes,
                ignore_empty_lines=False,
            ),
            pc_csv.ConvertOptions(
                check_utf8=False,
                column_types=types,
                null_values=[],
                strings_can_be_null=False,
                include_columns=list(types),
            ),
        )
    except pa.ArrowInvalid:
        return None
    return [column.combine_chunks() for column in table.columns]


def _count_digits(values: npt.NDArray[np.int64]) -> int:
    """Total number of decimal digits of non-negative values."""
    if not len(values):
        return 0
    fewest, most = len(str(values.min())), len(str(values.max()))
    return fewest * len(values) + sum(int(np.count_nonzero(values >= 10**digits)) for digits in range(fewest, most))


def _is_short(ids: Ids, longest: int) -> bool:
    """Whether the length of each id is between 1 and `longest` bytes."""
    if pa.types.is_integer(ids.type):
        return len(str(ids.to_numpy().max(initial=0))) <= longest
    return _has_lengths(ids, longest)


def to_whole_numbers(ids: Ids) -> Ids:
    """Converts ids to int64 if each is an integer in canonical form; otherwise returns them unchanged."""
    if pa.types.is_integer(ids.type) or not (_has_lengths(ids, MAX_DIGITS) and _has_digits_only(ids)):
        return ids
    offsets, data = get_buffers(ids)
    if ((data[offsets[:-1]] == ord("0")) & (np.diff(offsets) > 1)).any():
        return ids
    return ids.cast(pa.int64())


def sum_bytes(texts: pa.StringArray) -> npt.NDArray[np.uint64]:
    """Sum of the byte values of each text [num_texts]; no text may be empty."""
    offsets, data = get_buffers(texts)
    sums: npt.NDArray[np.uint64] = np.add.reduceat(data[: offsets[-1]], offsets[:-1], dtype=np.uint64)
    return sums


def _has_lengths(texts: pa.StringArray, longest: int) -> bool:
    """Whether the length of each text is between 1 and `longest` bytes."""
    lengths = np.diff(get_buffers(texts)[0])
    return bool(lengths.min(initial=1) >= 1 and lengths.max(initial=1) <= longest)


def _has_digits_only(texts: pa.StringArray) -> bool:
    """Whether all bytes of all texts are decimal digits."""
    offsets, data = get_buffers(texts)
    used = data[offsets[0] : offsets[-1]]
    return bool(used.min(initial=ord("0")) >= ord("0") and used.max(initial=ord("9")) <= ord("9"))
