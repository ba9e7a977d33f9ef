"""Parses blocks of raw lines into columns and rejected lines, vectorised over the separator positions of a block."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from components.core.logs.checks import Checks
from components.core.logs.texts import (
    Bytes,
    Longs,
    Mask,
    Positions,
    find_invalid,
    gather,
    get_buffers,
    is_utf8,
    show_all,
)

NEWLINE, RETURN = 10, 13
CONTROL_BELOW = 14  # NUL, tab, newline and carriage return are found in one pass
MAX_DIGITS = 18  # every number of 18 digits fits in an int64
TIME_LIMIT = 7_289_654_400_000  # 2201-01-01 UTC in milliseconds

Ids: TypeAlias = pa.StringArray | pa.Int64Array
Bounds = Callable[[int], tuple[Positions, Positions]]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The layout of a line.

    Attributes:
        num_fields: number of fields of every line.
        delimiter: field delimiter, one ASCII character; quotes are ordinary characters.
        text_fields: positions of the text fields.
        time_field: position of the time field, in milliseconds since 1970.
        names: column names of the text fields and then of the time field, for the reasons of rejections.
        max_id_bytes: maximum length of a text in bytes.
    """

    num_fields: int
    delimiter: str
    text_fields: tuple[int, ...]
    time_field: int
    names: tuple[str, ...]
    max_id_bytes: int

    def count_max_lines(self, num_bytes: int) -> int:
        """Maximum number of accepted lines in `num_bytes` bytes, given that no column that is read may be empty."""
        return (num_bytes + 1) // (len(self.names) + self.num_fields)


@dataclass(frozen=True, kw_only=True)
class Block:
    """The lines of one block, either accepted or rejected.

    Attributes:
        num_lines: number of accepted and rejected lines.
        ids: one column [num_accepted] per text field: strings, or int64 if all texts are integers in canonical form
            (the shortest decimal text).
        times: [num_accepted] int64 milliseconds since 1970.
        rejected: the rejected lines in `checks.FOUND_SCHEMA`, numbered from 0, or None.
    """

    num_lines: int
    ids: list[Ids]
    times: pa.Int64Array
    rejected: pa.RecordBatch | None


def scan_block(block: bytes, layout: Layout) -> Block:
    """Splits whole lines into fields and checks each of them.

    A line ends with a newline or with a carriage return and a newline; the line end of the last line is optional. A
    line is accepted if it is valid UTF-8 without NUL bytes and has the expected number of fields, texts of 1 to
    `max_id_bytes` bytes, and a time of 1 to 18 decimal digits before the year 2201.

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

    for name, field in zip(layout.names, layout.text_fields, strict=False):
        begin, stop = bounds(field)
        checks.reject_open(stop == begin, f"empty {name}")
        begin, stop = bounds(field)
        checks.reject_open(stop - begin > layout.max_id_bytes, f"{name} of over {layout.max_id_bytes} bytes")
    times = _parse_times(data, bounds, checks, layout)
    lines = checks.rejected_lines()
    return Block(
        num_lines=len(ends),
        ids=[gather(data, *bounds(field)) for field in layout.text_fields],
        times=times,
        rejected=checks.to_rejected(show_all(gather(data, starts[lines], stops[lines]))) if len(lines) else None,
    )


def _parse_times(data: Bytes, bounds: Bounds, checks: Checks, layout: Layout) -> pa.Int64Array:
    name = layout.names[-1]
    begin, stop = bounds(layout.time_field)
    texts = gather(data, begin, stop)
    offsets, digits = get_buffers(texts)
    is_digit = (digits - ord("0")) <= 9
    lengths = stop - begin
    if not is_digit.all() or lengths.min(initial=1) < 1 or lengths.max(initial=1) > MAX_DIGITS:
        others = np.searchsorted(offsets, np.flatnonzero(~is_digit), side="right") - 1
        num_others = np.bincount(others, minlength=len(texts))
        negative = (num_others == 1) & (lengths > 1) & (data[begin] == ord("-"))
        decimal = (num_others == 0) & (lengths > 0)
        checks.reject_open(~decimal & ~negative, f"{name} is not an integer")
        kept = decimal | negative
        checks.reject_open(negative[kept], f"{name} is negative")
        checks.reject_open((lengths > MAX_DIGITS)[decimal], f"{name} is beyond the year 2200")
        texts = gather(data, *bounds(layout.time_field))
    times = texts.cast(pa.int64())
    late = times.to_numpy() >= TIME_LIMIT
    if late.any():
        checks.reject_open(late, f"{name} is beyond the year 2200")
        times = times.filter(pa.array(~late))
    return times


def _lines_of(positions: Positions | Longs, ends: Positions) -> Mask:
    """Mask [num_lines] of the lines that contain one of the byte positions."""
    mask = np.zeros(len(ends), np.bool_)
    if len(positions):
        mask[np.searchsorted(ends, positions)] = True
    return mask
