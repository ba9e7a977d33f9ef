"""Which data and which code the metrics are of, as far as the step knows."""

import hashlib
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.core.events import SPLITS, split_path
from components.core.sources import hash_sources


def describe_origin(events_dir: Path) -> dict[str, Any]:
    """Returns the version of the sources and of TensorFlow, and the SHA-256 of the file of each split.

    Args:
        events_dir: the events artifact.
    """
    paths = {split: split_path(events_dir, split) for split in SPLITS}
    return {
        "source_version": hash_sources(),
        "tensorflow": tf.__version__,
        "events": {split: _hash_file(path) for split, path in paths.items() if path.is_file()},
    }


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
