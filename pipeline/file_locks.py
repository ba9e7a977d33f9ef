"""Locks on files and folders that end with their process."""

import fcntl
import os
from pathlib import Path


class Lock:
    """A lock that is held until `release` or the end of the process.

    Attributes:
        is_real: whether the file system knows locks.
    """

    def __init__(self, descriptor: int, *, is_real: bool) -> None:
        self._descriptor = descriptor
        self.is_real = is_real

    def release(self) -> None:
        """Gives the lock back."""
        os.close(self._descriptor)


def lock(path: Path, *, exclusive: bool, wait: bool, create: bool = False) -> Lock | None:
    """Locks a file or folder; no child process inherits the lock.

    Args:
        path: what to lock.
        exclusive: whether others are kept out, or only those who ask for an exclusive lock.
        wait: wait while somebody else holds it.
        create: make the file if it is not there.

    Returns:
        The lock; None if somebody else holds it, or if the path cannot be opened and `create` is not set.

    Raises:
        OSError: the file cannot be made.
    """
    try:
        # Network file systems lock exclusively only what is open for writing.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT if create else os.O_RDONLY, 0o666)
    except OSError:
        if create:
            raise
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        return Lock(descriptor, is_real=False)
    return Lock(descriptor, is_real=True)
