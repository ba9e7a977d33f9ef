"""Turns the command-line options of `two-tower recommend` into an index and a session."""

import json
from pathlib import Path

import click

from pipeline.output_folder import OUTPUT_NAMES


def parse_session(session: str | None, items: tuple[str, ...]) -> list[str]:
    """Parses the item ids of a session.

    Args:
        session: ids separated by commas; spaces and tabs around an id are removed.
        items: alternatively, the ids exactly as they are.

    Raises:
        click.UsageError: both are given, or neither.
        ValueError: an id is empty or not valid UTF-8.
    """
    if (session is None) == (not items):
        raise click.UsageError(f"Expected --session or --item. Received: {'both' if items else 'neither'}")
    item_ids = list(items) if session is None else [item_id.strip(" \t") for item_id in session.split(",")]
    for item_id in item_ids:
        if not item_id or item_id.encode(errors="replace").decode() != item_id:
            raise ValueError(f"Expected item ids that are not empty and valid UTF-8. Received: {item_ids}")
    return item_ids


def find_index(path: Path) -> Path:
    """Returns the folder of an index.

    Args:
        path: the index, or an output folder that contains one.

    Raises:
        FileNotFoundError: no SavedModel was found.
        ValueError: the path is a trained model, not an index.
    """
    for place in (path, path / OUTPUT_NAMES["index"]):
        if (place / "saved_model.pb").is_file():
            if (place / "assets.extra" / "training.json").is_file():
                raise ValueError(
                    f"Expected an index. Received: {place}, which is a trained model; its index is "
                    f"{place.parent / OUTPUT_NAMES['index']}"
                )
            return place
    raise FileNotFoundError(f"Expected an index, a folder with saved_model.pb. Received: {path}")


def parse_line(line: str, number: int) -> list[str]:
    """Parses a JSON list of item ids, the oldest first.

    Args:
        line: the line.
        number: its number, from 1, for the error message.

    Raises:
        ValueError: the line is no JSON list of texts, or one of them is empty.
    """
    try:
        item_ids = json.loads(line)
    except json.JSONDecodeError:
        item_ids = None
    if not isinstance(item_ids, list) or not all(isinstance(each, str) and each for each in item_ids):
        raise ValueError(
            f'Expected line {number} of stdin to be a JSON list of item ids, such as ["i7", "i8"]. '
            f"Received: {line.strip()[:200]!r}"
        )
    return item_ids
