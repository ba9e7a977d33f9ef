"""A log -> batches of accepted events, every other line with the reason against it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.logs.ahead import map_ahead
from components.core.logs.clean_lines import BYTE_ORDER_MARK, scan_clean, to_whole_numbers
from components.core.logs.files import LogFile
from components.core.logs.lines import Block, Layout, scan_block, show
from components.core.logs.rows import check_types, scan_rows

BLOCK_BYTES = 1 << 21
MAX_LINE_BYTES = 1 << 26
BATCH_ROWS = 1 << 17  # of Parquet
NUM_THREADS = 2


@dataclass(frozen=True, kw_only=True)
class LogColumns:
    """What to read of a log.

    Attributes:
        text: headers of the columns that stay the text they are.
        time: header of the time, in milliseconds since 1970.
        delimiter: of the fields; empty means a comma for `.csv` and a tab for every other suffix.
        max_id_bytes: the longest text that is accepted.
    """

    text: tuple[str, ...]
    time: str
    delimiter: str = ""
    max_id_bytes: int = 256

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"Expected a header of its own for each column. Received: {self.names}")
        if len(self.delimiter) > 1 or not self.delimiter.isascii() or self.delimiter in ("\n", "\r", "\0"):
            raise ValueError(f"Expected one ASCII character as delimiter. Received: {self.delimiter!r}")
        if not 1 <= self.max_id_bytes <= MAX_LINE_BYTES:
            raise ValueError(
                f"Expected max_id_bytes to be between 1 and {MAX_LINE_BYTES}. Received: {self.max_id_bytes}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """All headers, the time's last."""
        return (*self.text, self.time)


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A line that was not accepted.

    Attributes:
        source: the file.
        line: its number from 1, the header included; of Parquet the row's number from 1.
        reason: what is wrong with it.
        text: what stands there.
    """

    source: str
    line: int
    reason: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some consecutive lines of a file.

    Attributes:
        num_lines: accepted and rejected ones.
        events: the accepted ones, as they were prepared.
        rejected: the others.
        is_cut: the file ends behind them without a newline.
    """

    num_lines: int
    events: pa.RecordBatch
    rejected: list[Rejected]
    is_cut: bool = False


Prepare = Callable[[pa.RecordBatch], pa.RecordBatch]


def read_log(files: list[LogFile], columns: LogColumns, prepare: Prepare = lambda events: events) -> Iterator[Batch]:
    """Reads files one after the other; at any time a few blocks of one of them are in memory.

    Args:
        files: what to read.
        columns: of the files.
        prepare: makes something of the accepted events, in the threads that read. It is given the text columns
            and then the time, by their headers, and leaves the time the last column. A text column is of strings, or
            of int64 where each of its texts is the shortest one of a whole number.

    Raises:
        FileNotFoundError: a file has gone since it was listed.
        ValueError: a file is empty, lacks a column, ends before it should, or holds a line of over 64 MiB.
    """
    for file in files:
        yield from (_read_parquet if file.is_parquet else _read_lines)(file, columns, prepare)


def _read_lines(file: LogFile, columns: LogColumns, prepare: Prepare) -> Iterator[Batch]:
    with file.open_stream() as stream:
        blocks = _whole_lines(stream, file)
        first = next(blocks, b"")
        header, _, rest = first.partition(b"\n")
        layout = _layout(header, file, columns)

        def scan(block: bytes) -> Batch:
            scanned = scan_clean(block, layout) or scan_block(block, layout)
            return _to_batch(scanned, file, columns, prepare, is_cut=not block.endswith(b"\n"))

        batches = map_ahead(scan, _chain(rest, blocks), num_threads=NUM_THREADS, num_ahead=2 * NUM_THREADS)
        yield from _number_lines(batches, first_line=2)


def _chain(rest: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    if rest:
        yield rest
    yield from blocks


def _whole_lines(stream: pa.NativeFile, file: LogFile) -> Iterator[bytes]:
    rest = b""
    while data := stream.read(BLOCK_BYTES):
        end = data.rfind(b"\n") + 1
        if end:
            yield rest + data[:end]
            rest = data[end:]
        else:
            rest += data
        if len(rest) > MAX_LINE_BYTES:
            raise ValueError(
                f"Expected lines of at most {MAX_LINE_BYTES} bytes in {file.name}. "
                f"Received: a longer one that begins with {show(rest[:80])!r}"
            )
    if rest:
        yield rest


def _layout(header: bytes, file: LogFile, columns: LogColumns) -> Layout:
    if not header:
        raise ValueError(f"Expected a header with {list(columns.names)} in {file.name}. Received: an empty file")
    delimiter = columns.delimiter or ("," if file.suffix == ".csv" else "\t")
    fields = show(header.removeprefix(BYTE_ORDER_MARK).removesuffix(b"\r")).split(delimiter)
    if any(fields.count(name) != 1 for name in columns.names):
        raise ValueError(
            f"Expected each of the columns {list(columns.names)} once in {file.name}, "
            f"separated by {delimiter!r}. Received: {fields}"
        )
    return Layout(
        num_fields=len(fields),
        delimiter=delimiter,
        text_fields=tuple(fields.index(name) for name in columns.text),
        time_field=fields.index(columns.time),
        names=columns.names,
        max_id_bytes=columns.max_id_bytes,
    )


def _to_batch(block: Block, file: LogFile, columns: LogColumns, prepare: Prepare, *, is_cut: bool) -> Batch:
    """A batch whose lines are still numbered from 0."""
    ids = [to_whole_numbers(each) for each in block.ids]
    return Batch(
        num_lines=block.num_lines,
        events=prepare(pa.RecordBatch.from_arrays([*ids, block.times], names=list(columns.names))),
        rejected=[
            Rejected(source=file.name, line=line, reason=reason, text=text) for line, reason, text in block.rejected
        ],
        is_cut=is_cut,
    )


def _number_lines(batches: Iterator[Batch], first_line: int) -> Iterator[Batch]:
    for batch in batches:
        rejected = [replace(each, line=first_line + each.line) for each in batch.rejected]
        yield replace(batch, rejected=rejected)
        first_line += batch.num_lines


def _read_parquet(file: LogFile, columns: LogColumns, prepare: Prepare) -> Iterator[Batch]:
    with file.open_random_access() as raw:
        try:
            parquet = pq.ParquetFile(raw)
        except pa.ArrowInvalid as error:
            raise ValueError(f"Expected {file.name} to be Parquet. Received: {error}") from error
        check_types(parquet.schema_arrow, columns.names, file.name)
        blocks = (
            scan_rows(rows, columns.names, columns.max_id_bytes)
            for rows in parquet.iter_batches(BATCH_ROWS, columns=list(columns.names))
        )
        batches = (_to_batch(block, file, columns, prepare, is_cut=False) for block in blocks)
        yield from _number_lines(batches, first_line=1)
