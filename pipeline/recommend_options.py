"""The index and the session that `two-tower recommend` is asked about."""

from pathlib import Path

import click

from pipeline.output_folder import OUTPUT_NAMES


def parse_session(session: str | None, items: tuple[str, ...]) -> list[str]:
    """Reads the item ids of a session.

    Args:
        session: ids with commas between them; blanks around an id are no part of it.
        items: ids as they are, instead.

    Raises:
        click.UsageError: both are given, or none.
        ValueError: an id is empty or no valid UTF-8.
    """
    if (session is None) == (not items):
        raise click.UsageError(f"Expected --session or --item. Received: {'both' if items else 'none'}")
    item_ids = list(items) if session is None else [item_id.strip(" \t") for item_id in session.split(",")]
    for item_id in item_ids:
        if not item_id or item_id.encode(errors="replace").decode() != item_id:
            raise ValueError(f"Expected a session of item ids in UTF-8, none of them empty. Received: {item_ids}")
    return item_ids


def find_index(path: Path) -> Path:
    """Finds an index; an output folder leads to the index in it.

    Raises:
        FileNotFoundError: there is no SavedModel.
        ValueError: it is a model instead.
    """
    for place in (path, path / OUTPUT_NAMES["index"]):
        if (place / "saved_model.pb").is_file():
            if (place / "assets.extra" / "training.json").is_file():
                raise ValueError(
                    f"Expected an index. Received: {place}, which is a model; its index lies beside it, in "
                    f"{place.parent / OUTPUT_NAMES['index']}"
                )
            return place
    raise FileNotFoundError(f"Expected an index, a folder with saved_model.pb. Received: {path}")
