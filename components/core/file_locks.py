"""Advisory locks on files and folders. The kernel releases them when the process ends."""

import fcntl
import os
from pathlib import Path


class Lock:
    """A lock, held until `release` or the end of the process.

    Attributes:
        is_real: False if the file system does not support locks, so that nothing is locked.
    """

    def __init__(self, descriptor: int, *, is_real: bool) -> None:
        self._descriptor = descriptor
        self.is_real = is_real

    def release(self) -> None:
        """Releases the lock."""
        os.close(self._descriptor)


def lock(path: Path, *, exclusive: bool, wait: bool, create: bool = False) -> Lock | None:
    """Locks a file or folder. Child processes do not inherit the lock.

    Args:
        path: file or folder to lock.
        exclusive: take an exclusive lock instead of a shared one.
        wait: wait until the lock is free.
        create: create the file if it does not exist.

    Returns:
        The lock; None if another process holds it and `wait` is not set, or if the path cannot be opened and `create`
        is not set.

    Raises:
        OSError: the file cannot be created.
    """
    try:
        # Network file systems grant exclusive locks only on files that are open for writing.
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
