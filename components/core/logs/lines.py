"""Blocks of raw lines -> columns and rejected lines, by positions of the separators and without a loop over rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

NEWLINE, RETURN = 10, 13
CONTROL_BELOW = 14  # NUL, tab, newline and carriage return are found in one pass
MAX_DIGITS = 18  # fits an int64, whatever the digits
TIME_LIMIT = 7_289_654_400_000  # 2201-01-01 UTC in milliseconds
MAX_TEXT_BYTES = 4096  # of a rejected line

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
Ids: TypeAlias = pa.StringArray | pa.Int64Array
Bounds = Callable[[int], tuple[Positions, Positions]]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a line holds.

    Attributes:
        num_fields: fields of every line.
        delimiter: one ASCII character between them; quotes have no meaning and stay part of the text.
        text_fields: positions of the fields that stay text.
        time_field: position of the time, in milliseconds since 1970.
        names: the header of each text field and then of the time, for the reasons of a rejection.
        max_id_bytes: the longest text that is accepted.
    """

    num_fields: int
    delimiter: str
    text_fields: tuple[int, ...]
    time_field: int
    names: tuple[str, ...]
    max_id_bytes: int


@dataclass(frozen=True, kw_only=True)
class Block:
    """The lines of one block, either accepted or rejected.

    Attributes:
        num_lines: accepted and rejected ones.
        ids: one column [num_accepted] a text field: strings, or int64 whose shortest texts are what stood there.
        times: [num_accepted] int64 milliseconds since 1970.
        rejected: position in the block, reason and text of each line that was not accepted.
    """

    num_lines: int
    ids: list[Ids]
    times: pa.Int64Array
    rejected: list[tuple[int, str, str]]


def scan_block(block: bytes, layout: Layout) -> Block:
    """Splits whole lines into fields and checks each of them.

    A line ends with a newline, or with a carriage return and a newline; the last one may lack it. A line is
    accepted when it is valid UTF-8 without NUL bytes, has the right number of fields, texts of 1 to
    `max_id_bytes` bytes, and a time of 1 to 18 decimal digits below the year 2201.

    Args:
        block: whole lines, below 2 GiB.
        layout: what they should hold.
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
    checks.reject(_lines_of(_undecodable(block), ends), "invalid UTF-8")
    checks.reject(
        np.diff(closing, prepend=-1) != layout.num_fields,
        f"wrong number of fields, not {layout.num_fields}",
    )
    first = np.concatenate(([-1], closing[:-1])).astype(np.int32)

    def bounds(field: int) -> tuple[Positions, Positions]:
        """[num_open] first byte of a field of the lines still open, and the byte after its last."""
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
    return Block(
        num_lines=len(ends),
        ids=[gather(data, *bounds(field)) for field in layout.text_fields],
        times=times,
        rejected=list(_rejected_lines(block, checks, starts, stops)),
    )


class Checks:
    """Which lines are still open, and the first reason against each of the others."""

    def __init__(self, num_lines: int) -> None:
        self.num_lines = num_lines
        self.open: Positions | slice = slice(None)
        self.reasons: dict[int, str] = {}

    def open_lines(self) -> Positions:
        """Positions of the lines that nothing has been said against."""
        if isinstance(self.open, slice):
            return np.arange(self.num_lines, dtype=np.int32)
        return self.open

    def reject(self, failed: Mask, reason: str) -> None:
        """Closes lines by a mask over all of them."""
        if failed.any():
            self.reject_open(failed[self.open], reason)

    def reject_open(self, failed: Mask, reason: str) -> None:
        """Closes lines by a mask over the open ones."""
        if failed.any():
            lines = self.open_lines()
            self.reasons.update(dict.fromkeys(lines[failed].tolist(), reason))
            self.open = lines[~failed]


def gather(data: Bytes, begin: Positions, stop: Positions) -> pa.StringArray:
    """Copies the bytes between the given positions into a column of strings; they must be valid UTF-8."""
    lengths = stop - begin
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    source = np.repeat(begin - offsets[:-1], lengths)
    source += np.arange(len(source), dtype=np.int32)
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data.take(source)))


def _parse_times(data: Bytes, bounds: Bounds, checks: Checks, layout: Layout) -> pa.Int64Array:
    name = layout.names[-1]
    begin, stop = bounds(layout.time_field)
    texts = gather(data, begin, stop)
    digits = np.frombuffer(texts.buffers()[2], np.uint8) if len(texts) and texts.buffers()[2] else data[:0]
    is_digit = (digits - ord("0")) <= 9
    lengths = stop - begin
    if not is_digit.all() or lengths.min(initial=1) < 1 or lengths.max(initial=1) > MAX_DIGITS:
        total = np.concatenate(([0], np.cumsum(is_digit)))
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        num_digits = total[offsets[1:]] - total[offsets[:-1]]
        negative = (num_digits == lengths - 1) & (num_digits > 0) & (data[begin] == ord("-"))
        decimal = (num_digits == lengths) & (lengths > 0)
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


def _undecodable(block: bytes) -> Sequence[int]:
    """One position in each line that is not valid UTF-8."""
    if block.isascii():
        return ()
    wrong: list[int] = []
    begin = 0
    while begin < len(block):
        try:
            str(memoryview(block)[begin:], "utf-8")
        except UnicodeDecodeError as error:
            wrong.append(begin + error.start)
            begin = block.index(b"\n", wrong[-1]) + 1
        else:
            break
    return wrong


def _lines_of(positions: Sequence[int] | Positions, ends: Positions) -> Mask:
    """[num_lines] mask of the lines that hold one of the positions."""
    mask = np.zeros(len(ends), np.bool_)
    if len(positions):
        mask[np.searchsorted(ends, np.asarray(positions))] = True
    return mask


def _rejected_lines(
    block: bytes, checks: Checks, starts: Positions, stops: Positions
) -> Iterator[tuple[int, str, str]]:
    for line in sorted(checks.reasons):
        yield line, checks.reasons[line], show(block[starts[line] : stops[line]])


def show(line: bytes) -> str:
    r"""A line as text: bytes that are not UTF-8 as \xNN, NUL as \x00, cut after 4,096 bytes."""
    text = line[:MAX_TEXT_BYTES].decode("utf-8", errors="backslashreplace").replace("\0", "\\x00")
    return text if len(line) <= MAX_TEXT_BYTES else f"{text}... ({len(line)} bytes)"
