"""Recognises errors that a full disk has caused."""

import errno
import os

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_out_of_space(error: BaseException) -> bool:
    """Whether the disk is full. DuckDB's error types have other causes too, so its messages are checked."""
    if isinstance(error, OSError):
        return error.errno in NO_SPACE
    if not type(error).__module__.endswith("duckdb"):
        return False
    return any(text in str(error) for text in ("max_temp_directory_size", *map(os.strerror, NO_SPACE)))
