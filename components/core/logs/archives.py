"""Reads the one file of a zip archive."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa

from components.core.presentation import list_names, shorten


def find_member(stream: Any, name: str) -> zipfile.ZipInfo:
    """Returns the only file of an archive; files whose names begin with a dot or an underscore are ignored.

    Args:
        stream: the archive; it must be seekable.
        name: name of the archive, for error messages.

    Raises:
        ValueError: the archive is damaged, or does not have exactly one file.
    """
    with _archive_errors(name), zipfile.ZipFile(stream) as archive:
        members = [info for info in archive.infolist() if not info.is_dir() and _is_visible(info.filename)]
    if any(info.filename == "[Content_Types].xml" for info in members):
        raise ValueError(f"Expected a log in {name}. Received: an Office file, such as Excel's; save it as CSV")
    if len(members) != 1:
        names = list_names([info.filename for info in members]) or "none"
        raise ValueError(
            f"Expected one file in the zip archive {name}. Received: {names}. Unpack it, and name the file to read"
        )
    return members[0]


@contextmanager
def open_member(stream: Any, name: str) -> Iterator[IO[bytes]]:
    """Opens the only file of an archive for reading.

    Args:
        stream: the archive; it must be seekable.
        name: name of the archive, for error messages.

    Raises:
        ValueError: the archive or its file is damaged or encrypted.
    """
    member = find_member(stream, name)
    with _archive_errors(name), zipfile.ZipFile(stream) as archive:
        try:
            file = archive.open(member)
        except (NotImplementedError, RuntimeError) as error:  # an unknown compression, or a password
            raise ValueError(f"Expected to open {shorten(member.filename)} in {name}. Received: {error}") from error
        with file:
            yield file


def _is_visible(name: str) -> bool:
    return not name.startswith("__MACOSX/") and not name.rpartition("/")[2].startswith((".", "_"))


@contextmanager
def _archive_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, pa.ArrowException) as error:
        raise ValueError(f"Expected to read the zip archive {name} to its end. Received: {error}") from error
