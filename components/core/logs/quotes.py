"""Splits text with quoted fields (RFC 4180) into records; such a field may contain delimiters, quotes and newlines."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from components.core.logs.blocks import Block
from components.core.logs.clean_lines import scan_clean
from components.core.logs.lines import Layout, scan_block
from components.core.logs.texts import Bytes, Longs, is_utf8
from components.core.logs.values import Row, make_block, merge_blocks

QUOTE, NEWLINE, RETURN = ord('"'), ord("\n"), ord("\r")
MAX_RECORD_BYTES = 1 << 20  # a longer record is not joined from several lines


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """Records, of which those with quotes were parsed one by one; the other ones are lines.

    Attributes:
        rows: the records with quotes, with lines numbered from 0.
        plain: begin, end and number of the first line of each run of lines without quotes.
        end: number of bytes of all records.
    """

    rows: list[Row]
    plain: list[tuple[int, int, int]]
    end: int


@dataclass(frozen=True, kw_only=True)
class Records:
    """Whole records of a file.

    Attributes:
        block: their bytes.
        parsed: the records, if some of them are malformed; None if all are well-formed.
    """

    block: bytes
    parsed: Parsed | None = None


def split_records(
    pieces: Iterator[bytes], layout: Layout, check: Callable[[bytes], None] = lambda rest: None
) -> Iterator[Records]:
    """Regroups the bytes of a file into whole records.

    A field that begins with a quote ends with the next quote that is not doubled; a delimiter or the end of the record
    must follow. A line with another quote is malformed, and so is a line whose quoted field does not end within
    MAX_RECORD_BYTES; the next line begins a new record.

    Args:
        pieces: the bytes of the file after its header, in order.
        layout: the layout of the lines.
        check: called with the bytes of a line that has not ended.
    """
    rest = b""
    for piece in pieces:
        data = rest + piece
        if QUOTE not in data:
            end = data.rfind(b"\n") + 1
            if end:
                yield Records(block=data[:end])
            rest = data[end:]
            check(rest)
            continue
        end, is_well_formed = _find_end(data, layout.delimiter)
        if is_well_formed:
            yield Records(block=data[:end])
            rest = data[end:]
        elif end or len(data) > 2 * MAX_RECORD_BYTES:
            parsed = _parse(data, layout, is_last=False)
            if parsed.end:
                yield Records(block=data[: parsed.end], parsed=parsed)
            rest = data[parsed.end :]
        else:
            rest = data
        check(rest)
    if rest:
        is_plain = QUOTE not in rest
        yield Records(block=rest, parsed=None if is_plain else _parse(rest, layout, is_last=True))


def _find_end(data: bytes, delimiter: str) -> tuple[int, bool]:
    """Finds the last newline outside of quotes.

    Returns:
        The position after it, 0 if there is none, and whether all quotes before it enclose fields or are doubled inside
        of them, in records of at most MAX_RECORD_BYTES.
    """
    values = np.frombuffer(data, np.uint8)
    quotes, newlines = np.flatnonzero(values == QUOTE), np.flatnonzero(values == NEWLINE)
    outside = newlines
    if len(quotes):
        outside = newlines[np.searchsorted(quotes, newlines) % 2 == 0]
    if not len(outside):
        return 0, False
    end = int(outside[-1]) + 1
    quotes = quotes[: np.searchsorted(quotes, end)]
    is_well_formed = _encloses_fields(values[:end], quotes, delimiter)
    if is_well_formed and len(outside) < len(newlines):
        is_well_formed = np.diff(outside, prepend=-1).max() <= MAX_RECORD_BYTES
    return end, bool(is_well_formed)


def _encloses_fields(data: Bytes, quotes: Longs, delimiter: str) -> bool:
    """Whether each of the quotes [num_quotes], an even number, encloses a field or is doubled inside of a field."""
    if not len(quotes):
        return True
    before = data[quotes[::2] - 1]  # of a quote at the start, the last byte, which is a newline
    if not ((before == NEWLINE) | (before == ord(delimiter)) | (before == QUOTE)).all():
        return False
    # A quote before an opening quote is the closing one of the same field: together they are a doubled quote.
    closing = quotes[1::2]
    after = data[closing + 1]
    is_end = (after == NEWLINE) | (after == ord(delimiter)) | (after == QUOTE)
    if is_end.all():
        return True
    rest = closing[~is_end]
    return bool(((data[rest + 1] == RETURN) & (data[rest + 2] == NEWLINE)).all())


def parse_records(data: bytes, layout: Layout) -> list[Row]:
    """Parses all records of some data one by one; lines are numbered from 0."""
    parsed = _parse(data, layout, is_last=True)
    rows = parsed.rows
    for begin, end, first_line in parsed.plain:
        for line, record in enumerate(data[begin:end].removesuffix(b"\n").split(b"\n"), first_line):
            rows.append(_make_row(record, split_fields(record, layout.delimiter.encode())[0], line, layout))
    return sorted(rows, key=lambda row: row.line)


def _parse(data: bytes, layout: Layout, *, is_last: bool) -> Parsed:
    """Parses the records that have quotes one by one, and finds the lines between them.

    Args:
        data: bytes from the start of a record on.
        layout: the layout of the lines.
        is_last: whether the file ends after the data.
    """
    rows: list[Row] = []
    plain: list[tuple[int, int, int]] = []
    begin = line = 0
    while begin < len(data):
        quote = data.find(b'"', begin)
        plain_end = data.rfind(b"\n", begin, len(data) if quote < 0 else quote) + 1
        if quote < 0 and is_last:
            plain_end = len(data)
        if plain_end > begin:
            plain.append((begin, plain_end, line))
            line += data.count(b"\n", begin, plain_end)
            begin = plain_end
        if quote < 0:
            break
        first_end = _line_end(data, begin)
        if first_end is None:
            if not is_last:
                break
            first_end = len(data)
        fields, end = _read_record(data, begin, first_end, layout.delimiter.encode(), is_last=is_last)
        if end is None and not is_last and len(data) - begin <= MAX_RECORD_BYTES:
            break
        end = end or first_end
        rows.append(_make_row(data[begin:end], fields, line, layout))
        line += data.count(b"\n", begin, end)
        begin = end
    return Parsed(rows=rows, plain=plain, end=begin)


def _line_end(data: bytes, begin: int) -> int | None:
    """Position after the next newline; None if there is none."""
    return data.find(b"\n", begin) + 1 or None


def _read_record(
    data: bytes, begin: int, first_end: int, delimiter: bytes, *, is_last: bool
) -> tuple[list[bytes] | None, int | None]:
    """Returns the fields of the record at `begin`, None if it is malformed, and its end, None if it has not ended."""
    end = first_end
    fields, is_open = split_fields(data[begin:end], delimiter)
    while is_open:
        quote = data.find(b'"', end)
        if quote < 0:
            return None, None
        next_end = _line_end(data, quote) or (len(data) if is_last else None)
        if next_end is None or next_end - begin > MAX_RECORD_BYTES:
            return None, None
        if data.count(b'"', end, next_end) % 2:  # otherwise, the field is still open
            fields, is_open = split_fields(data[begin:next_end], delimiter)
        end = next_end
    return fields, end if fields is not None else first_end


def split_fields(record: bytes, delimiter: bytes) -> tuple[list[bytes] | None, bool]:
    """Splits a record into its fields; None if it is malformed. Also returns whether a quoted field has not ended.

    Args:
        record: the record with or without its line end.
        delimiter: the field delimiter.
    """
    record = record.removesuffix(b"\n")
    pieces = record.split(b'"')
    is_open = len(pieces) % 2 == 0
    if not is_open:
        pieces[-1] = pieces[-1].removesuffix(b"\r")
    fields, field = [], b""
    for place, piece in enumerate(pieces):
        is_last = place == len(pieces) - 1
        if place % 2:
            field += piece
        elif place and not is_last and not piece:
            field += b'"'
        else:
            first, *others = piece.split(delimiter)
            if (place and first) or (not is_last and (others[-1] if others else first)):
                return None, False
            fields += [field + first, *others][:-1]
            field = others[-1] if others else field + first
    return (None, True) if is_open else ([*fields, field], False)


def _make_row(record: bytes, fields: list[bytes] | None, line: int, layout: Layout) -> Row:
    text = record.removesuffix(b"\n").removesuffix(b"\r")
    if not text:
        reason = "blank line"
    elif b"\0" in text:
        reason = "NUL byte"
    elif not is_utf8(text):
        reason = "invalid UTF-8"
    elif fields is None:
        reason = "quote inside of a field"
    elif len(fields) != layout.num_fields:
        reason = f"wrong number of fields, not {layout.num_fields}"
    else:
        return Row(line=line, text=text, values=[fields[field] for field in layout.fields])
    return Row(line=line, text=text, reason=reason)


def scan_records(records: Records, layout: Layout) -> Block:
    """Checks records that `scan_clean` did not accept."""
    data = records.block
    parsed = records.parsed or _parse(data, layout, is_last=True)
    found = make_block(parsed.rows, layout.columns, data.count(b"\n") + (not data.endswith(b"\n")))
    if not parsed.plain:
        return found
    lines = b"".join(data[begin:end] for begin, end, _ in parsed.plain)
    plain = scan_clean(lines, layout) or scan_block(lines, layout)
    first = np.array([first_line for _, _, first_line in parsed.plain])
    sizes = [data.count(b"\n", begin, end) + (not data.endswith(b"\n", begin, end)) for begin, end, _ in parsed.plain]
    numbers = np.repeat(first - np.cumsum(sizes) + sizes, sizes) + np.arange(plain.num_rows)
    return merge_blocks(found, np.array([row.line for row in parsed.rows], np.int64), plain, numbers)
