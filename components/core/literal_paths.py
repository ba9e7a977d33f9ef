"""Paths that TensorFlow and DuckDB do not interpret as glob patterns.

TensorFlow finds the files of a checkpoint, also inside a SavedModel, by matching a glob pattern. In a folder
`lr=[0.002]` it finds no file, and in a folder `run*` it may find the files of `run2`.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

# Glob metacharacters, and the surrogates by which Python represents non-UTF-8 bytes, which TensorFlow rejects.
_NOT_LITERAL = re.compile(r"[*?\[\]{}\\\udc80-\udcff]")


@contextlib.contextmanager
def literal_path(folder: Path) -> Iterator[str]:
    """Yields a path by which TensorFlow can read and write an existing folder with any name.

    The path is valid only inside the `with` block and only in this process.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    if not _NOT_LITERAL.search(str(folder)):
        yield str(folder)
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def escape_for_duckdb(path: Path) -> str:
    """Puts each wildcard of DuckDB in brackets, so that the path matches only itself."""
    return re.sub(r"([\[*?])", r"[\1]", str(path))
