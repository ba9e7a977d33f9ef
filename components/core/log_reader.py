"""A log -> batches of accepted events, every other line with the reason against it."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.lines import Block, Layout, scan_block, show
from components.core.log_files import LogFile
from components.core.rows import check_types, scan_rows

BLOCK_BYTES = 1 << 21
MAX_LINE_BYTES = 1 << 26
BATCH_ROWS = 1 << 17  # of Parquet
NUM_THREADS = 2
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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
        events: the accepted ones; text columns dictionary-encoded, then the time as int64, by their headers.
        rejected: the others.
        is_cut: the file ends behind them without a newline.
    """

    num_lines: int
    events: pa.RecordBatch
    rejected: list[Rejected]
    is_cut: bool = False


def read_log(files: list[LogFile], columns: LogColumns) -> Iterator[Batch]:
    """Reads files one after the other; at any time a few blocks of one of them are in memory.

    Raises:
        FileNotFoundError: a file has gone since it was listed.
        ValueError: a file is empty, lacks a column, ends before it should, or holds a line of over 64 MiB.
    """
    for file in files:
        yield from _read_parquet(file, columns) if file.is_parquet else _read_lines(file, columns)


def _read_lines(file: LogFile, columns: LogColumns) -> Iterator[Batch]:
    with file.open_stream() as stream, ThreadPoolExecutor(NUM_THREADS) as executor:
        blocks = _whole_lines(stream, file)
        first = next(blocks, b"")
        header, _, rest = first.partition(b"\n")
        layout = _layout(header, file, columns)
        first_line = 2
        pending: deque[tuple[bool, Future[Block]]] = deque()
        for block in _chain(rest, blocks):
            pending.append((not block.endswith(b"\n"), executor.submit(scan_block, block, layout)))
            if len(pending) > 2 * NUM_THREADS:
                batch = _to_batch(pending.popleft(), file, columns, first_line)
                first_line += batch.num_lines
                yield batch
        while pending:
            batch = _to_batch(pending.popleft(), file, columns, first_line)
            first_line += batch.num_lines
            yield batch


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


def _to_batch(scanned: tuple[bool, Future[Block]], file: LogFile, columns: LogColumns, first_line: int) -> Batch:
    is_cut, future = scanned
    block = future.result()
    return Batch(
        num_lines=block.num_lines,
        events=pa.RecordBatch.from_arrays([*block.texts, block.times], names=list(columns.names)),
        rejected=[
            Rejected(source=file.name, line=first_line + line, reason=reason, text=text)
            for line, reason, text in block.rejected
        ],
        is_cut=is_cut,
    )


def _read_parquet(file: LogFile, columns: LogColumns) -> Iterator[Batch]:
    with file.open_random_access() as raw:
        try:
            parquet = pq.ParquetFile(raw)
        except pa.ArrowInvalid as error:
            raise ValueError(f"Expected {file.name} to be Parquet. Received: {error}") from error
        check_types(parquet.schema_arrow, columns.names, file.name)
        first_row = 1
        for rows in parquet.iter_batches(BATCH_ROWS, columns=list(columns.names)):
            future: Future[Block] = Future()
            future.set_result(scan_rows(rows, columns.names, columns.max_id_bytes))
            yield _to_batch((False, future), file, columns, first_row)
            first_row += rows.num_rows
