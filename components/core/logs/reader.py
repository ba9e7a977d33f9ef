"""Reads a log in batches of accepted events and rejected lines."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.logs.ahead import map_ahead
from components.core.logs.blocks import Block, FileColumns
from components.core.logs.clean_lines import scan_clean, to_whole_numbers
from components.core.logs.columns import LogColumns
from components.core.logs.files import LogFile
from components.core.logs.json_layout import JsonLayout
from components.core.logs.json_lines import scan_json
from components.core.logs.lines import Layout, scan_block
from components.core.logs.parts import Part, check_length, inspect, open_parquet, replace_delimiter
from components.core.logs.quotes import Records, scan_records, split_records
from components.core.logs.rejected import locate
from components.core.logs.rows import scan_rows

BLOCK_BYTES = 1 << 21
BATCH_ROWS = 1 << 17  # rows per batch of Parquet
NUM_THREADS = 2
NUM_OPENED = 8  # number of files that are inspected in parallel


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Consecutive lines of a file.

    Attributes:
        num_lines: number of accepted and rejected lines; of rows in Parquet, of events in lists of JSON lines.
        events: the accepted lines, as `prepare` returned them.
        rejected: the rejected lines in `rejected.REJECTED_SCHEMA`, or None. Line 1 is the first line of the file, such
            as the header; row 1 of Parquet is the first row.
        is_cut: whether the file ends after this batch without a newline.
        max_lines_left: upper bound of the number of lines that can be accepted after this batch, in all files.
        missing: in the first batch of a file, the optional columns that the file lacks.
        times: description of the format of the times of the file.
        num_bytes: number of stored bytes of the file that were read since the batch before.
    """

    num_lines: int
    events: pa.RecordBatch
    rejected: pa.RecordBatch | None
    is_cut: bool = False
    max_lines_left: int = 0
    missing: tuple[str, ...] = ()
    times: str = ""
    num_bytes: int = 0


Prepare = Callable[[pa.RecordBatch], pa.RecordBatch]


def read_log(files: list[LogFile], columns: LogColumns, prepare: Prepare = lambda events: events) -> Iterator[Batch]:
    """Inspects all files and returns an iterator that reads them in turn, with a few blocks in memory.

    Args:
        files: the files to read, in this order; files of 0 bytes are left out, unless all are empty.
        columns: the columns to read.
        prepare: transforms the accepted events of each batch, in a reader thread. Its argument has the text columns,
            without the optional ones that the file lacks, and then the time, with the names of the log. Its result must
            have the time as the last column. A text column contains strings, or int64 if all texts are integers in
            canonical form (the shortest decimal text).

    Raises:
        FileNotFoundError: a file was removed after it was listed.
        ValueError: a file is empty, has an unsupported format, lacks a column, has times without one clear format, is
            truncated, or has a line longer than 64 MiB.
    """
    files = [file for file in files if file.num_bytes] or files[:1]
    looks = map_ahead(lambda file: inspect(file, columns), files, num_threads=NUM_OPENED, num_ahead=2 * NUM_OPENED)
    return _read_parts(list(looks), columns, prepare)


def _read_parts(parts: list[Part], columns: LogColumns, prepare: Prepare) -> Iterator[Batch]:
    max_lines_after = sum(part.max_lines for part in parts)
    for part in parts:
        max_lines_after -= part.max_lines
        is_first = True
        if isinstance(part.found, FileColumns):
            batches = _read_parquet(part, columns, prepare)
        else:
            batches = _read_text(part, part.found, columns, prepare)
        for batch in batches:
            yield replace(
                batch,
                max_lines_left=batch.max_lines_left + max_lines_after,
                missing=part.columns.missing if is_first else (),
                times=part.times,
            )
            is_first = False


def _read_text(part: Part, layout: Layout | JsonLayout, columns: LogColumns, prepare: Prepare) -> Iterator[Batch]:
    file = part.file
    with part.open_text(BLOCK_BYTES) as (pieces, tell):
        header = b""
        if isinstance(layout, Layout) and layout.has_header:
            header, pieces = _take_header(pieces, part)
        scan_part = _make_scan(layout)

        def scan(records: Records) -> tuple[Batch, Block, int]:
            block = scan_part(records)
            batch = _to_batch(block, part, columns, prepare, is_cut=not records.block.endswith(b"\n"))
            return batch, block, len(records.block)

        line, bytes_left, position = 1 + bool(header), part.max_bytes - len(header), 0
        for batch, block, num_bytes in map_ahead(
            scan, _split_blocks(pieces, part), num_threads=NUM_THREADS, num_ahead=2 * NUM_THREADS
        ):
            bytes_left -= num_bytes
            position, before = tell(), position
            placed = _place(batch, file, line, max_lines_left=layout.count_max_lines(max(0, bytes_left)))
            yield replace(placed, num_bytes=position - before)
            line += block.num_lines


def _make_scan(layout: Layout | JsonLayout) -> Callable[[Records], Block]:
    """Creates a function that reads one block."""
    if isinstance(layout, JsonLayout):
        return lambda records: scan_json(records.block, layout)
    is_clean = True  # whether the last block had no rejected line, as the next one probably has none then

    def scan(records: Records) -> Block:
        nonlocal is_clean
        has_quotes = layout.is_quoted and b'"' in records.block
        found = scan_clean(records.block, layout) if records.parsed is None and (is_clean or has_quotes) else None
        if found is None:
            found = scan_records(records, layout) if has_quotes else scan_block(records.block, layout)
        is_clean = found.rejected is None
        return replace(found, rejected=_show_delimiter(found.rejected, layout)) if layout.long_delimiter else found

    return scan


def _show_delimiter(rejected: pa.RecordBatch | None, layout: Layout) -> pa.RecordBatch | None:
    """Writes the delimiter of the file into the texts of rejected lines."""
    if rejected is None:
        return None
    texts = pc.replace_substring(rejected["text"], layout.delimiter, layout.long_delimiter)
    return rejected.set_column(rejected.schema.get_field_index("text"), "text", texts)


def _take_header(pieces: Iterator[bytes], part: Part) -> tuple[bytes, Iterator[bytes]]:
    """Splits the first line off; returns it with its newline, and the pieces that follow."""
    head = b""
    for piece in pieces:
        head += piece
        if b"\n" in head:
            break
        check_length(head, part.file)
    header, newline, rest = head.partition(b"\n")
    return header + newline, chain([rest] if rest else [], pieces)


def _split_blocks(pieces: Iterator[bytes], part: Part) -> Iterator[Records]:
    """Regroups the bytes of a file into whole lines, or into whole records if fields have quotes."""
    layout = part.found
    if isinstance(layout, Layout) and layout.long_delimiter:
        lines = (replace_delimiter(block, layout) for block in _whole_lines(pieces, part))
        yield from split_records(lines, layout) if layout.is_quoted else (Records(block=block) for block in lines)
    elif isinstance(layout, Layout) and layout.is_quoted:
        yield from split_records(pieces, layout, check=lambda rest: check_length(rest, part.file))
    else:
        yield from (Records(block=block) for block in _whole_lines(pieces, part))


def _whole_lines(pieces: Iterator[bytes], part: Part) -> Iterator[bytes]:
    rest = b""
    for data in pieces:
        end = data.rfind(b"\n") + 1
        if end:
            yield rest + data[:end]
            rest = data[end:]
        else:
            rest += data
        check_length(rest, part.file)
    if rest:
        yield rest


def _read_parquet(part: Part, columns: LogColumns, prepare: Prepare) -> Iterator[Batch]:
    with open_parquet(part.file) as parquet:
        row, rows_left = 1, part.max_lines
        for rows in _iterate(parquet, part):
            block = scan_rows(rows, part.columns)
            rows_left -= block.num_rows
            batch = _to_batch(block, part, columns, prepare, is_cut=False)
            placed = _place(batch, part.file, row, max_lines_left=max(0, rows_left))
            yield replace(placed, num_bytes=part.file.num_bytes * block.num_rows // max(1, part.max_lines))
            row += block.num_lines


def _iterate(parquet: pq.ParquetFile, part: Part) -> Iterator[pa.RecordBatch]:
    try:
        yield from parquet.iter_batches(BATCH_ROWS, columns=list(part.columns.in_file))
    except pa.ArrowException as error:
        raise ValueError(f"Expected to read {part.file.name} to its end. Received: {error}") from error


def _to_batch(block: Block, part: Part, columns: LogColumns, prepare: Prepare, *, is_cut: bool) -> Batch:
    """Converts a block to a batch, which `_place` completes."""
    found = part.columns
    ids = dict(zip(found.text, map(to_whole_numbers, block.ids), strict=True))
    for name, value in found.constants.items():
        if name in columns.text:
            ids[name] = pa.repeat(value, len(block.times))
    names = [name for name in columns.text if name not in found.missing]
    events = pa.RecordBatch.from_arrays([*(ids[name] for name in names), block.times], names=[*names, columns.time])
    return Batch(num_lines=block.num_rows, events=prepare(events), rejected=block.rejected, is_cut=is_cut)


def _place(batch: Batch, file: LogFile, first_line: int, *, max_lines_left: int) -> Batch:
    """Adds the file and line number of each rejected line, and the maximum number of remaining lines."""
    rejected = None if batch.rejected is None else locate(batch.rejected, file.name, first_line)
    return replace(batch, rejected=rejected, max_lines_left=max_lines_left)
