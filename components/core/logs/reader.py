"""Reads a log in batches of accepted events and rejected lines."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.logs.ahead import map_ahead
from components.core.logs.clean_lines import scan_clean, to_whole_numbers
from components.core.logs.columns import LogColumns
from components.core.logs.files import LogFile
from components.core.logs.lines import Block, scan_block
from components.core.logs.parts import Part, check_length, count_max_bytes, inspect, open_parquet
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
        num_lines: number of accepted and rejected lines.
        events: the accepted lines, as `prepare` returned them.
        rejected: the rejected lines in `rejected.REJECTED_SCHEMA`, or None. Line 1 is the header; row 1 of Parquet is
            the first row.
        is_cut: whether the file ends after this batch without a newline.
        max_lines_left: upper bound of the number of lines that can be accepted after this batch, in all files.
    """

    num_lines: int
    events: pa.RecordBatch
    rejected: pa.RecordBatch | None
    is_cut: bool = False
    max_lines_left: int = 0


Prepare = Callable[[pa.RecordBatch], pa.RecordBatch]


def read_log(files: list[LogFile], columns: LogColumns, prepare: Prepare = lambda events: events) -> Iterator[Batch]:
    """Inspects all files and returns an iterator that reads them in turn, with a few blocks in memory.

    Args:
        files: the files to read, in this order.
        columns: the columns to read.
        prepare: transforms the accepted events of each batch, in a reader thread. Its argument has the text columns and
            then the time, with the names of the log. Its result must have the time as the last column. A text column
            contains strings, or int64 if all texts are integers in canonical form (the shortest decimal text).

    Raises:
        FileNotFoundError: a file was removed after it was listed.
        ValueError: a file is empty, has an unsupported format, lacks a column, is truncated, or has a line longer than
            64 MiB.
    """
    looks = map_ahead(lambda file: inspect(file, columns), files, num_threads=NUM_OPENED, num_ahead=2 * NUM_OPENED)
    return _read_parts(list(looks), columns, prepare)


def _read_parts(parts: list[Part], columns: LogColumns, prepare: Prepare) -> Iterator[Batch]:
    max_lines_after = sum(part.max_lines for part in parts)
    for part in parts:
        max_lines_after -= part.max_lines
        for batch in (_read_parquet if part.is_parquet else _read_lines)(part, columns, prepare):
            yield replace(batch, max_lines_left=batch.max_lines_left + max_lines_after)


def _read_lines(part: Part, columns: LogColumns, prepare: Prepare) -> Iterator[Batch]:
    file = part.file
    with file.open_stream(part.codec) as stream:
        blocks = _whole_lines(stream, part)
        first = next(blocks, b"")
        header, _, rest = first.partition(b"\n")
        layout = columns.find(header, file.name, file.suffix)

        is_clean = True  # whether the last block had no rejected line, as the next one probably has none then

        def scan(block: bytes) -> tuple[Batch, int]:
            nonlocal is_clean
            scanned = (scan_clean(block, layout) if is_clean else None) or scan_block(block, layout)
            is_clean = scanned.rejected is None
            return _to_batch(scanned, columns, prepare, is_cut=not block.endswith(b"\n")), len(block)

        line, bytes_left = 2, count_max_bytes(file, part.codec) - len(first) + len(rest)
        for batch, num_bytes in map_ahead(
            scan, _chain(rest, blocks), num_threads=NUM_THREADS, num_ahead=2 * NUM_THREADS
        ):
            bytes_left -= num_bytes
            yield _place(batch, file, line, max_lines_left=layout.count_max_lines(max(0, bytes_left)))
            line += batch.num_lines


def _chain(rest: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    if rest:
        yield rest
    yield from blocks


def _whole_lines(stream: pa.NativeFile, part: Part) -> Iterator[bytes]:
    rest = b""
    while data := stream.read(BLOCK_BYTES):
        end = data.rfind(b"\n") + 1
        if end:
            yield rest + data[:end]
            rest = data[end:]
        else:
            rest += data
        check_length(rest, part.file)
    if part.codec is None and stream.tell() < part.file.num_bytes:
        raise ValueError(
            f"Expected {part.file.name} to hold the {part.file.num_bytes} bytes it was listed with. "
            f"Received: only {stream.tell()}; it was cut while it was read"
        )
    if rest:
        yield rest


def _read_parquet(part: Part, columns: LogColumns, prepare: Prepare) -> Iterator[Batch]:
    with open_parquet(part.file) as parquet:
        row, rows_left = 1, part.max_lines
        for rows in _iterate(parquet, columns, part.file):
            block = scan_rows(rows, columns.names, columns.max_id_bytes)
            rows_left -= block.num_lines
            batch = _to_batch(block, columns, prepare, is_cut=False)
            yield _place(batch, part.file, row, max_lines_left=max(0, rows_left))
            row += batch.num_lines


def _iterate(parquet: pq.ParquetFile, columns: LogColumns, file: LogFile) -> Iterator[pa.RecordBatch]:
    try:
        yield from parquet.iter_batches(BATCH_ROWS, columns=list(columns.names))
    except pa.ArrowException as error:
        raise ValueError(f"Expected to read {file.name} to its end. Received: {error}") from error


def _to_batch(block: Block, columns: LogColumns, prepare: Prepare, *, is_cut: bool) -> Batch:
    """Converts a block to a batch, which `_place` completes."""
    ids = [to_whole_numbers(each) for each in block.ids]
    events = pa.RecordBatch.from_arrays([*ids, block.times], names=list(columns.names))
    return Batch(num_lines=block.num_lines, events=prepare(events), rejected=block.rejected, is_cut=is_cut)


def _place(batch: Batch, file: LogFile, first_line: int, *, max_lines_left: int) -> Batch:
    """Adds the file and line number of each rejected line, and the maximum number of remaining lines."""
    rejected = None if batch.rejected is None else locate(batch.rejected, file.name, first_line)
    return replace(batch, rejected=rejected, max_lines_left=max_lines_left)
