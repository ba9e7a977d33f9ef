"""Inspects the files of a log before they are read: format, compression, header, maximum number of lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.logs.columns import MAX_LINE_BYTES, LogColumns
from components.core.logs.files import LogFile
from components.core.logs.formats import GZIP, HEAD_BYTES, PARQUET, ZSTD, advise, find_format
from components.core.logs.rows import check_types
from components.core.logs.texts import show

PARQUET_SUFFIXES = (".parquet", ".pq")
HEADER_BYTES = 1 << 16  # number of bytes that are read at a time until the header ends
# Largest ratio of decompressed to compressed bytes: 258 bytes from 2 bits (RFC 1951, 3.2.5), a block of 128 KiB from
# 4 bytes (RFC 8878, 3.1.1.2).
EXPANSION = {None: 1, GZIP: 1032, ZSTD: 32768}


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file of a log after inspection.

    Attributes:
        file: the file.
        is_parquet: whether it is Parquet; otherwise it is text.
        codec: compression of the text, GZIP or ZSTD, or None.
        max_lines: upper bound of the number of lines or rows that can be accepted.
    """

    file: LogFile
    is_parquet: bool = False
    codec: str | None = None
    max_lines: int


def inspect(file: LogFile, columns: LogColumns) -> Part:
    """Detects the format of a file by its content, and checks its header or schema.

    Raises:
        FileNotFoundError: the file was removed after it was listed.
        ValueError: the file cannot be read, has a format that is not supported, or lacks a column.
    """
    with file.open_stream() as raw:
        found = find_format(raw.read(HEAD_BYTES))
    if found == PARQUET or (not found and file.suffix in PARQUET_SUFFIXES):
        with open_parquet(file) as parquet:
            check_types(parquet.schema_arrow, columns.names, file.name)
            return Part(file=file, is_parquet=True, max_lines=parquet.metadata.num_rows)
    if found not in ("", GZIP, ZSTD):
        raise _unread(file, found, found)
    codec = found or None
    with file.open_stream(codec) as stream:
        head = _read_head(stream, file)
    inner = find_format(head) if codec else ""
    if inner:
        raise _unread(file, f"{inner} inside {codec}", inner)
    layout = columns.find(head.partition(b"\n")[0], file.name, file.suffix)
    return Part(file=file, codec=codec, max_lines=layout.count_max_lines(count_max_bytes(file, codec)))


def count_max_bytes(file: LogFile, codec: str | None) -> int:
    """Upper bound of the decompressed size of a file in bytes."""
    return file.num_bytes * EXPANSION[codec]


@contextmanager
def open_parquet(file: LogFile) -> Iterator[pq.ParquetFile]:
    """Opens a Parquet file.

    Raises:
        FileNotFoundError: the file was removed after it was listed.
        ValueError: the file is not Parquet.
    """
    with file.open_stream() as raw:
        try:
            # By default INT96 becomes nanoseconds, which overflow after the year 2262.
            parquet = pq.ParquetFile(raw, coerce_int96_timestamp_unit="ms")
        except pa.ArrowException as error:
            raise ValueError(f"Expected {file.name} to be Parquet. Received: {error}") from error
        yield parquet


def _read_head(stream: pa.NativeFile, file: LogFile) -> bytes:
    """Reads the text up to at least the first newline or carriage return."""
    head = b""
    while not (b"\n" in head or b"\r" in head) and (data := stream.read(max(HEADER_BYTES, len(head)))):
        head += data
        check_length(head, file)
    return head


def check_length(line: bytes, file: LogFile) -> None:
    """Checks that a line has at most MAX_LINE_BYTES.

    Raises:
        ValueError: the line is longer.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(
            f"Expected lines of at most {MAX_LINE_BYTES} bytes in {file.name}. "
            f"Received: a longer line that begins with {show(line[:80])!r}"
        )


def _unread(file: LogFile, found: str, kind: str) -> ValueError:
    return ValueError(
        f"Expected {file.name} to be Parquet, or UTF-8 text: plain, gzip or zstd. Received: {found}; {advise(kind)}"
    )
