"""Opens the artifacts of a run in an output folder, where `OUTPUT/index` is a link that leads to the newest run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core.file_locks import lock

INDEX = "index"
SAVED_MODEL = "saved_model.pb"
# TensorFlow reserves assets.extra for user files. This one of a trained model holds its parameters and its history.
TRAINING_FILE = Path("assets.extra", "training.json")


def find_index(path: Path) -> Path:
    """Returns the folder of an index.

    Args:
        path: the index, or an output folder that contains one.

    Raises:
        FileNotFoundError: no SavedModel was found.
        ValueError: the path is a trained model, not an index.
    """
    for folder in (path, path / INDEX):
        if (folder / SAVED_MODEL).is_file():
            if (folder / TRAINING_FILE).is_file():
                raise ValueError(
                    f"Expected an index. Received: {folder}, which is a trained model; its index is "
                    f"{folder.parent / INDEX}"
                )
            return folder
    raise FileNotFoundError(describe_missing_index(path))


def describe_missing_index(path: Path) -> str:
    """Returns the message of an error about a path without a SavedModel."""
    return f"Expected an index, a folder with {SAVED_MODEL}. Received: {path}"


@contextmanager
def hold_run(path: Path) -> Iterator[Path]:
    """Resolves a path in an output folder, and locks the run against removal during the block.

    To read several files of the same run, derive all their paths from the one that this yields: between two uses of
    `OUTPUT/...`, another run may be published.

    Args:
        path: an artifact in an output folder, such as `OUTPUT/index`; other paths are allowed too.

    Yields:
        The path with all links resolved.
    """
    while True:
        real = path.resolve()
        held = lock(real.parent, exclusive=False, wait=True)
        try:
            if real.exists() or path.resolve() == real:
                yield real
                return
        finally:
            if held is not None:
                held.release()
