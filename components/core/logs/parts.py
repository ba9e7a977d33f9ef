"""Inspects the files of a log before they are read: format, columns, format of the times, maximum number of lines."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from components.core.logs.archives import find_member
from components.core.logs.blocks import FileColumns
from components.core.logs.columns import MAX_LINE_BYTES, LogColumns
from components.core.logs.files import LogFile
from components.core.logs.formats import (
    BYTE_ORDER_MARK,
    BZIP2,
    COMPRESSED,
    GZIP,
    HEAD_BYTES,
    PARQUET,
    ZIP,
    ZSTD,
    advise,
    find_format,
)
from components.core.logs.header_advice import NAME_COLUMNS
from components.core.logs.json_layout import JsonLayout, parse
from components.core.logs.lines import UNIT_SEPARATOR, Layout
from components.core.logs.quotes import parse_records
from components.core.logs.rows import check_types, get_type, is_moment, sample_times
from components.core.logs.texts import show
from components.core.logs.times import ISO
from components.core.presentation import list_names, shorten

PARQUET_SUFFIXES = (".parquet", ".pq")
SAMPLE_BYTES = 1 << 16  # number of bytes, at least, by which the columns and the format of the times are detected
SAMPLE_ROWS = 1000
# Largest ratio of decompressed to compressed bytes: 258 bytes from 2 bits (RFC 1951, 3.2.5); a block of 128 KiB from
# 4 bytes (RFC 8878, 3.1.1.2); a block of 900,000 run-length encoded bytes, 255 bytes from 5, from 37 bytes (bzip2).
EXPANSION = {None: 1, GZIP: 1032, ZSTD: 32768, BZIP2: 1_300_000}

Found: TypeAlias = Layout | JsonLayout | FileColumns


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file of a log after inspection.

    Attributes:
        file: the file.
        found: what was found in it: the layout of text or of JSON lines, or the columns of Parquet.
        codec: compression of the text, one of COMPRESSED, or None.
        is_cr: whether lines end with a carriage return alone.
        max_bytes: upper bound of the decompressed size of text in bytes.
        max_lines: upper bound of the number of events that can be accepted.
        times: description of the format of the times.
    """

    file: LogFile
    found: Found
    codec: str | None = None
    is_cr: bool = False
    max_bytes: int = 0
    max_lines: int
    times: str

    @property
    def columns(self) -> FileColumns:
        """The columns of the file."""
        return self.found if isinstance(self.found, FileColumns) else self.found.columns

    @contextmanager
    def open_text(self, piece_bytes: int) -> Iterator[tuple[Iterator[bytes], Callable[[], int]]]:
        """Opens text; yields an iterator over its pieces, without a byte order mark, with newlines as line ends.

        Also yields a function that returns the number of stored bytes that were read so far.

        Args:
            piece_bytes: size of a piece.

        Raises:
            FileNotFoundError: the file was removed after it was listed.
            ValueError: the file cannot be read to its end.
        """
        with self.file.open_tracked(self.codec) as (stream, tell):
            yield self._read(stream, piece_bytes), tell

    def _read(self, stream: Any, piece_bytes: int) -> Iterator[bytes]:
        num_bytes = 0
        while data := stream.read(piece_bytes):
            if not num_bytes:
                num_bytes, data = len(data), data.removeprefix(BYTE_ORDER_MARK)
            else:
                num_bytes += len(data)
            yield data.replace(b"\r", b"\n") if self.is_cr else data
        if self.codec is None and num_bytes < self.file.num_bytes:
            raise ValueError(
                f"Expected {self.file.name} to hold the {self.file.num_bytes} bytes it was listed with. "
                f"Received: only {num_bytes}; it was cut while it was read"
            )


def inspect(file: LogFile, columns: LogColumns) -> Part:
    """Detects the format of a file by its content, finds the columns, and detects the format of the times.

    Raises:
        FileNotFoundError: the file was removed after it was listed.
        ValueError: the file cannot be read, has a format that is not supported, lacks a column, or has times without
            one clear format.
    """
    with file.open_stream() as raw:
        found = find_format(raw.read(HEAD_BYTES))
    if found == PARQUET or (not found and file.suffix in PARQUET_SUFFIXES):
        return _inspect_parquet(file, columns)
    if found and found not in COMPRESSED:
        raise _unread(file, found, found)
    codec, suffix, max_bytes = found or None, file.suffix, file.num_bytes
    if codec == ZIP:
        with file.open_stream() as raw:
            member = find_member(raw, file.name)
        max_bytes, suffix = member.file_size, replace(file, path=member.filename).suffix
    else:
        max_bytes *= EXPANSION[codec]
    with file.open_stream(codec) as stream:
        head, is_whole = _read_head(stream, file)
    inner = find_format(head[:HEAD_BYTES]) if codec else ""
    if inner:
        raise _unread(file, f"{inner} inside {codec}", inner)
    lines = head.rstrip(b"\r\n")
    is_cr = b"\r" in lines and b"\n" not in lines
    head = head.removeprefix(BYTE_ORDER_MARK)
    if is_cr:
        head = head.replace(b"\r", b"\n")
    if not is_whole:
        head = head[: head.rfind(b"\n") + 1] or head
    found_layout = _find_layout(head, file, columns, suffix)
    return Part(
        file=file,
        found=found_layout,
        codec=codec,
        is_cr=is_cr,
        max_bytes=max_bytes,
        max_lines=found_layout.count_max_lines(max_bytes),
        times=found_layout.columns.time_format.describe(),
    )


def _advise(schema: pa.Schema, wanted: Sequence[str]) -> str:
    """What to do about columns that a Parquet file lacks."""
    nested = [name for name in wanted if name not in schema.names and name.split(".")[0] in schema.names]
    if nested:
        return f"Paths such as {nested[0]} are read in JSON lines only: export those, or a column with the values."
    return NAME_COLUMNS


def _inspect_parquet(file: LogFile, columns: LogColumns) -> Part:
    with open_parquet(file) as parquet:
        schema = parquet.schema_arrow
        found = columns.choose(schema.names, file)
        if found is None:
            raise ValueError(
                f"Expected each of the columns [{list_names(columns.wanted, quoted=True)}] once in {file.name}. "
                f"Received: [{list_names(schema.names, quoted=True)}]. {_advise(schema, columns.wanted)}"
            )
        check_types(schema, found, file.name)
        texts: list[str] = []
        if found.time not in found.constants and parquet.metadata.num_rows:
            rows = next(parquet.iter_batches(SAMPLE_ROWS, columns=[found.time]))
            texts = sample_times(rows, found.time)
        found = columns.with_times(found, texts, file.name)
        times = found.time_format.describe()
        if found.time not in found.constants:
            kind = get_type(schema, found.time)
            if is_moment(kind):
                times = f"Parquet {kind}"
            elif found.time_format.name == ISO and (pt.is_integer(kind) or pt.is_floating(kind)):
                raise ValueError(
                    f"Expected ISO 8601 times, because of time_format=iso, in the column {found.time} of {file.name}. "
                    f"Received: {shorten(str(kind))}"
                )
        return Part(file=file, found=found, max_lines=parquet.metadata.num_rows, times=times)


def _find_layout(head: bytes, file: LogFile, columns: LogColumns, suffix: str) -> Layout | JsonLayout:
    """Finds the columns and the format of the times in the first lines of text."""
    if re.match(rb"\s*\[\s*\{", head):
        raise ValueError(
            f"Expected JSON lines in {file.name}. Received: a JSON array; convert it, for example with: jq -c '.[]'"
        )
    if head.lstrip().startswith(b"{"):
        return _find_json(head, file, columns)
    first, _, rest = head.partition(b"\n")
    layout = columns.find(first, file, suffix, is_empty=not head)
    body = rest if layout.has_header else head
    if layout.long_delimiter:
        body = replace_delimiter(body, layout)
    field = layout.position(layout.columns.time)
    texts = [] if field is None else _sample_texts(body, layout, field)
    return replace(layout, columns=columns.with_times(layout.columns, texts, file.name))


def _sample_texts(body: bytes, layout: Layout, field: int) -> list[str]:
    """Values of a field in the first lines."""
    if layout.is_quoted and b'"' in body:
        rows = parse_records(body, layout)
        place = layout.fields.index(field)
        values = [row.values[place] or b"" for row in rows if not row.reason]
    else:
        lines = (line.removesuffix(b"\r").split(layout.delimiter.encode()) for line in body.split(b"\n"))
        values = [line[field] for line in lines if len(line) == layout.num_fields]
    return [show(value) for value in values[:SAMPLE_ROWS] if value]


def _find_json(head: bytes, file: LogFile, columns: LogColumns) -> JsonLayout:
    documents = []
    for line in head.split(b"\n"):
        try:
            documents.append(parse(line))
        except ValueError:
            continue
    layout = columns.find_json(documents[:SAMPLE_ROWS], file, show(head.partition(b"\n")[0]))
    return replace(layout, columns=columns.with_times(layout.columns, layout.sample_times(documents), file.name))


def replace_delimiter(block: bytes, layout: Layout) -> bytes:
    """Replaces a delimiter of several characters by UNIT_SEPARATOR; a line with UNIT_SEPARATOR gets a NUL byte."""
    block = block.replace(UNIT_SEPARATOR.encode(), b"\0")
    return block.replace(layout.long_delimiter.encode(), UNIT_SEPARATOR.encode())


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


def _read_head(stream: Any, file: LogFile) -> tuple[bytes, bool]:
    """Reads the first lines, at least SAMPLE_BYTES and two of them; also returns whether this is the whole file."""
    head = b""
    while len(head) < SAMPLE_BYTES or max(head.count(b"\n"), head.count(b"\r")) < 2:
        data = stream.read(max(SAMPLE_BYTES, len(head)))
        if not data:
            return head, True
        head += data
        check_length(head[: (head.find(b"\n") + 1) or len(head)], file)
    return head, False


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
        f"Expected {file.name} to be Parquet, or UTF-8 text: plain, gzip, zstd, bzip2 or zip. "
        f"Received: {found}; {advise(kind)}"
    )
