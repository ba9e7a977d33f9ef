"""Paths that TensorFlow takes literally.

TensorFlow looks the files of a checkpoint up as a glob pattern, and so those of a SavedModel: below a folder
`lr=[0.002]` it finds nothing, and below `run*` it may find the files of `run2`.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

# What a glob pattern gives a meaning, and what Python puts for bytes that are not UTF-8, which TensorFlow refuses.
_NOT_LITERAL = re.compile(r"[*?\[\]{}\\\udc80-\udcff]")


@contextlib.contextmanager
def literal_path(folder: Path) -> Iterator[str]:
    """Yields a path of an existing folder that TensorFlow can read from and write to, whatever the folder's name.

    The path leads to the folder for as long as the context lasts and in this process only.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not _NOT_LITERAL.search(str(folder)):
        yield str(folder)
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
