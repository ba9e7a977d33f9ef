"""Parses blocks of raw lines into columns and rejected lines, vectorised over the separator positions of a block."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from components.core.logs.blocks import Block, FileColumns
from components.core.logs.checks import Checks
from components.core.logs.texts import (
    Bytes,
    Longs,
    Mask,
    Positions,
    find_invalid,
    gather,
    is_utf8,
    show_all,
)

NEWLINE, RETURN = 10, 13
CONTROL_BELOW = 14  # NUL, tab, newline and carriage return are found in one pass
UNIT_SEPARATOR = "\x1f"  # replaces a delimiter of several characters

Bounds = Callable[[int], tuple[Positions, Positions]]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The layout of the lines of a file.

    Attributes:
        columns: the columns to read.
        num_fields: number of fields of every line.
        delimiter: field delimiter, one ASCII character.
        fields: position of each of `columns.in_file` among the fields.
        has_header: whether the first line has the names of the columns.
        is_quoted: whether quotes around fields follow RFC 4180; otherwise, they are ordinary characters.
        long_delimiter: delimiter in the file, if it has several characters; `delimiter` is then UNIT_SEPARATOR.
    """

    columns: FileColumns
    num_fields: int
    delimiter: str
    fields: tuple[int, ...]
    has_header: bool = True
    is_quoted: bool = False
    long_delimiter: str = ""

    @property
    def text_fields(self) -> tuple[int, ...]:
        """Positions of the text columns that the file contains."""
        return self.fields[: len(self.columns.text)]

    def position(self, name: str) -> int | None:
        """Position of a column among the fields; None if the file does not contain it."""
        return self.fields[self.columns.in_file.index(name)] if name in self.columns.in_file else None

    def count_max_lines(self, num_bytes: int) -> int:
        """Maximum number of accepted lines in `num_bytes` bytes, given that no column that is read may be empty."""
        return (num_bytes + 1) // (len(self.fields) + self.num_fields)


def scan_block(block: bytes, layout: Layout) -> Block:
    """Splits whole lines into fields and checks each of them.

    A line ends with a newline or with a carriage return and a newline; the line end of the last line is optional. A
    line is accepted if it is valid UTF-8 without NUL bytes and has the expected number of fields, texts of 1 to
    `max_id_bytes` bytes, and a time in the expected format before the year 2201. Quotes are ordinary characters.

    Args:
        block: whole lines, less than 2 GiB.
        layout: the expected layout of the lines.
    """
    if not block.endswith(b"\n"):
        block += b"\n"
    data = np.frombuffer(block, np.uint8)
    delimiter = ord(layout.delimiter)
    found = data < CONTROL_BELOW
    if delimiter >= CONTROL_BELOW:
        found |= data == delimiter
    positions = np.flatnonzero(found).astype(np.int32)
    kinds = data[positions]
    has_nul, has_return = bool((kinds == 0).any()), bool((kinds == RETURN).any())
    nuls = positions[kinds == 0] if has_nul else positions[:0]
    separates = (kinds == NEWLINE) | (kinds == delimiter)
    if not separates.all():
        positions, kinds = positions[separates], kinds[separates]
    closing = np.flatnonzero(kinds == NEWLINE).astype(np.int32)
    ends = positions[closing]
    starts = np.concatenate(([0], ends[:-1] + 1)).astype(np.int32)
    stops = ends - (data[np.maximum(ends - 1, starts)] == RETURN) * (ends > starts) if has_return else ends

    checks = Checks(len(ends))
    checks.reject(stops == starts, "blank line")
    checks.reject(_lines_of(nuls, ends), "NUL byte")
    if not is_utf8(block):
        checks.reject(_lines_of(find_invalid(data), ends), "invalid UTF-8")
    checks.reject(
        np.diff(closing, prepend=-1) != layout.num_fields,
        f"wrong number of fields, not {layout.num_fields}",
    )
    first = np.concatenate(([-1], closing[:-1])).astype(np.int32)

    def bounds(field: int) -> tuple[Positions, Positions]:
        """Positions [num_open] of the first byte of a field in each open line, and of the byte after its last."""
        chosen = checks.open
        begin = starts[chosen] if field == 0 else positions[first[chosen] + field] + 1
        last = field == layout.num_fields - 1
        return begin, stops[chosen] if last else positions[first[chosen] + field + 1]

    columns = layout.columns
    for name, field in zip(columns.text, layout.text_fields, strict=True):
        begin, stop = bounds(field)
        checks.reject_open(stop == begin, f"empty {name}")
        begin, stop = bounds(field)
        checks.reject_open(stop - begin > columns.max_id_bytes, f"{name} of over {columns.max_id_bytes} bytes")
    times = _scan_times(data, bounds, checks, layout)
    lines = checks.rejected_lines()
    return Block(
        num_rows=len(ends),
        num_lines=len(ends),
        ids=[gather(data, *bounds(field)) for field in layout.text_fields],
        times=times,
        rejected=checks.to_rejected(show_all(gather(data, starts[lines], stops[lines]))) if len(lines) else None,
    )


def _scan_times(data: Bytes, bounds: Bounds, checks: Checks, layout: Layout) -> pa.Int64Array:
    columns, num_open = layout.columns, len(checks.open_lines())

    def read(name: str) -> pa.StringArray:
        field = layout.position(name)
        return pa.repeat(columns.constants[name], num_open) if field is None else gather(data, *bounds(field))

    times, failed = columns.parse_times(read)
    return pa.array(times[checks.reject_each(failed)])


def _lines_of(positions: Positions | Longs, ends: Positions) -> Mask:
    """Mask [num_lines] of the lines that contain one of the byte positions."""
    mask = np.zeros(len(ends), np.bool_)
    if len(positions):
        mask[np.searchsorted(ends, positions)] = True
    return mask
