"""Repeats reads of an object store that does not answer for a while, with growing waits."""

import io
import logging
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pyarrow import fs

# Waits between the attempts, in seconds: an outage of about a minute is survived.
WAITS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# What Amazon's client and Google's call errors of a store that may answer later. A missing bucket or file and a refusal
# are not among them: they end at once.
_TEMPORARY = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING|REQUEST_TIMEOUT|UNAVAILABLE"
    r"|DEADLINE_EXCEEDED|HTTP status (429|5\d\d)|curlCode"
)

_T = TypeVar("_T")


def retry(action: Callable[[], _T], what: str) -> _T:
    """Calls an action, and again while its error says that the store does not answer now. Each wait is logged.

    Args:
        action: the action.
        what: what it does, for the log, such as `list s3://logs`.

    Raises:
        OSError: the error of the last attempt.
    """
    for number, wait in enumerate(WAITS, start=1):
        try:
            return action()
        except OSError as error:
            if not _TEMPORARY.search(str(error)):
                raise
            logging.getLogger(__name__).warning(
                "Attempt %d to %s failed; the next one in %g s. %s", number, what, wait, error
            )
            time.sleep(wait)
    return action()


class BucketFile(io.RawIOBase):
    """A file in a bucket whose reads are repeated, from where they stopped, in a new connection if necessary.

    Args:
        filesystem: file system that contains the file.
        path: path within the file system.
        name: path for messages.

    Raises:
        OSError: the file cannot be opened; reads raise it too, also if the file was replaced by one of another size.
    """

    def __init__(self, filesystem: fs.FileSystem, path: str, name: str) -> None:
        super().__init__()
        self._filesystem, self._path, self._name = filesystem, path, name
        self._raw: Any = retry(self._open, f"open {name}")
        self._size = self._raw.size()
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """Reads at most `size` bytes; fewer only at the end of the file."""
        data: bytes = retry(lambda: self._read(size), f"read {self._name}")
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a position."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Returns the position."""
        return self._position

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def close(self) -> None:
        """Closes the connection."""
        if not self.closed:
            self._drop()
        super().close()

    def _open(self) -> Any:
        return self._filesystem.open_input_file(self._path)

    def _read(self, size: int) -> bytes:
        try:
            if self._raw is None:
                self._raw = self._open()
                if self._raw.size() != self._size:
                    raise OSError(f"it had {self._size} bytes, and was replaced by a file of {self._raw.size()}")
            self._raw.seek(self._position)
            return bytes(self._raw.read(None if size < 0 else size))
        except OSError:
            self._drop()
            raise

    def _drop(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()
