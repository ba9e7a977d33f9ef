"""Reads gzip with NUL bytes after its end, as tapes pad files, which `pyarrow.CompressedInputStream` refuses."""

import zlib
from typing import Any

GZIP_BITS = 31  # zlib.decompressobj reads the header and the checksum of gzip
CHUNK_BYTES = 1 << 18


class GzipStream:
    """The text of one or several gzip members; NUL bytes after each of them are passed over.

    Args:
        raw: the stored bytes.

    Attributes:
        closed: whether the stream was closed, for readers of Python files.
    """

    def __init__(self, raw: Any) -> None:
        self.closed = False
        self._raw = raw
        self._waiting = b""
        self._member = zlib.decompressobj(GZIP_BITS)
        self._is_begun = False  # whether the member has bytes

    def close(self) -> None:
        """Marks the stream as closed; the stored bytes stay open."""
        self.closed = True

    def read(self, size: int) -> bytes:
        """Returns `size` bytes, or fewer at the end.

        Raises:
            OSError: the file is damaged, or it ends within a member.
        """
        pieces, missing = [], size
        while missing and (piece := self._read_piece(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _read_piece(self, size: int) -> bytes:
        """Returns 1 to `size` bytes; none at the end."""
        piece = b""
        while not piece:
            if self._member.eof:
                self._waiting = self._member.unused_data
                self._member, self._is_begun = zlib.decompressobj(GZIP_BITS), False
                self._pass_padding()
            if not self._waiting:
                self._waiting = self._raw.read(CHUNK_BYTES)
            is_cut = not self._waiting
            if is_cut and not self._is_begun:
                return b""
            self._is_begun = True
            try:
                piece = self._member.decompress(self._waiting, size)
            except zlib.error as error:
                raise OSError(f"gzip: {error}") from error
            self._waiting = self._member.unconsumed_tail
            if is_cut and not piece and not self._member.eof:
                raise OSError("gzip: the stream is truncated")
        return piece

    def _pass_padding(self) -> None:
        self._waiting = self._waiting.lstrip(b"\0")
        while not self._waiting and (data := self._raw.read(CHUNK_BYTES)):
            self._waiting = data.lstrip(b"\0")
