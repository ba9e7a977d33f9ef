"""What the report shows of an item."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.core.item_table import describe_no_match, read_item_table
from components.core.presentation import count_of

MAX_NOTES = 3  # number of other columns that are shown
MAX_LENGTH = 90  # number of characters of a text that are shown


@dataclass(frozen=True, kw_only=True)
class Item:
    """An item as the report shows it.

    Attributes:
        item_id: its id, printable and cut.
        title: its title, likewise; empty if it has none.
        notes: values of other columns, likewise, by name.
    """

    item_id: str
    title: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)


class Items:
    """Looks up what is shown of an item.

    Args:
        rows: values of the item table by id, each with `title` first; empty without a table.
        note: how many items have a title; empty without a table.
    """

    def __init__(self, rows: Mapping[str, Mapping[str, str]] | None = None, note: str = "") -> None:
        self.rows = rows or {}
        self.note = note

    def __call__(self, item_id: str) -> Item:
        """Returns the item, whether the table has it or not."""
        notes = dict(self.rows.get(item_id, {}))
        return Item(
            item_id=show(item_id),
            title=show(notes.pop("title", "")),
            notes={show(name): show(value) for name, value in notes.items()},
        )


def show(text: str) -> str:
    r"""Returns a text with escapes such as `\u202e` for characters that are not printable, cut to MAX_LENGTH."""
    cut = text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut)


def read_items(source: str, item_ids: Collection[str]) -> Items:
    """Reads the rows of some items. Of rows with the same id, the first counts.

    Addresses are left out, so that the report refers to nothing outside.

    Args:
        source: the item table, see `read_item_table`.
        item_ids: the items to look for.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file cannot be read, lacks one of the two columns, or has two columns with one name; or the table
            has none of the items.
    """
    rows: dict[str, dict[str, str]] = {}
    repeated: set[str] = set()
    for found in read_item_table(source, item_ids=item_ids, with_others=True):
        columns = (found.item_ids.to_pylist(), found.titles.to_pylist(), found.others.to_pylist())
        for item_id, title, others in zip(*columns, strict=True):
            values = {"title": _text(title)} | {name: _text(value) for name, value in others.items()}
            shown = {name: value for name, value in values.items() if value and "://" not in value}
            if item_id in rows:
                repeated.add(item_id)
            else:
                rows[item_id] = dict(list(shown.items())[: MAX_NOTES + 1])
    if item_ids and not rows:
        raise ValueError(describe_no_match(_find_example(source), min(item_ids), "this page"))
    return Items(rows, _describe(rows, len(item_ids), len(repeated)))


def _find_example(source: str) -> str:
    """Returns an id of the table; an empty text if it has none."""
    ids = (item_id for rows in read_item_table(source) for item_id in rows.item_ids.drop_null()[:1].to_pylist())
    return next(ids, "")


def _describe(rows: Mapping[str, Mapping[str, str]], num_items: int, num_repeated: int) -> str:
    num_titled = sum("title" in row for row in rows.values())
    text = f"{num_titled:,} of {count_of(num_items, 'item')} on this page have a title in the item table."
    if num_repeated:
        text += f" The first row counts of {count_of(num_repeated, 'item')} with several rows."
    return text


def _text(value: Any) -> str:
    return "" if value is None else str(value)
