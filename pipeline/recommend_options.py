"""Turns the command-line options of `two-tower recommend` into sessions."""

import json

import click


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
        if not item_id or not _is_unicode(item_id):
            raise ValueError(f"Expected item ids that are not empty and valid UTF-8. Received: {item_ids}")
    return item_ids


def parse_line(line: str, number: int) -> list[str]:
    """Parses a JSON list of item ids, the oldest first.

    Args:
        line: the line.
        number: its number, from 1, for the error message.

    Raises:
        ValueError: the line is no JSON list of texts, or one of them is empty or no valid Unicode.
    """
    try:
        item_ids = json.loads(line)
    except (ValueError, RecursionError):
        item_ids = None
    if not isinstance(item_ids, list) or not all(isinstance(each, str) and each for each in item_ids):
        raise ValueError(
            f'Expected line {number} of stdin to be a JSON list of item ids, such as ["i7", "i8"]. '
            f"Received: {line.strip()[:200]!r}"
        )
    for item_id in item_ids:
        if not _is_unicode(item_id):
            raise ValueError(
                f"Expected the item ids in line {number} of stdin to be valid Unicode. Received: {ascii(item_id)[:200]}"
            )
    return item_ids


def _is_unicode(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, which JSON can escape and Python makes of bytes of no UTF-8."""
    return text.encode(errors="replace").decode() == text
