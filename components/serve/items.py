"""Titles of items, and the search for items by id or title."""

import pyarrow as pa
import pyarrow.compute as pc

from components.core.item_table import read_item_table


def read_titles(source: str, *, item_column: str, title_column: str) -> dict[str, str]:
    """Reads the titles of items; an item without a title is left out, and the first of two titles counts.

    Args:
        source: the item table, see `read_item_table`.
        item_column: column with the item ids; empty to find it by its name.
        title_column: column with the titles; empty to find it by its name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file cannot be read, lacks one of the two columns, or has two columns with one name.
    """
    found: dict[str, str] = {}
    for rows in read_item_table(source, id_column=item_column, title_column=title_column):
        for item_id, title in zip(rows.item_ids.to_pylist(), rows.titles.to_pylist(), strict=True):
            if item_id and title:
                found.setdefault(item_id, title)
    return found


def find_items(
    catalogue: pa.StringArray, title_ids: pa.StringArray, titles: pa.StringArray, text: str, *, limit: int
) -> list[str]:
    """Returns the items whose id or title contains a text, in any case, from the most popular one.

    An item with the text as its id comes first. Without a text, the most popular items are returned.

    Args:
        catalogue: ids of all items, from the most popular one.
        title_ids: ids of the items with a title.
        titles: their titles.
        text: what to find.
        limit: number of items to return, at most.
    """
    if not text:
        return list(catalogue[:limit].to_pylist())
    by_title = title_ids.filter(pc.match_substring(titles, text, ignore_case=True))
    mask = pc.or_(pc.match_substring(catalogue, text, ignore_case=True), pc.is_in(catalogue, value_set=by_title))
    found: list[str] = catalogue.filter(mask)[:limit].to_pylist()
    if pc.index(catalogue, text).as_py() >= 0:
        found = [text, *(item_id for item_id in found if item_id != text)][:limit]
    return found
