"""Titles of items, and the search for items by id or title."""

import logging
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from components.core.item_table import describe_no_match, read_item_table
from components.core.presentation import count_of

logger = logging.getLogger(__name__)


def read_titles(source: str, *, item_column: str, title_column: str) -> tuple[dict[str, str], int]:
    """Reads the titles of items; an item without a title is left out, and the first of two titles counts.

    Args:
        source: the item table, see `read_item_table`.
        item_column: column with the item ids; empty to find it by its name.
        title_column: column with the titles; empty to find it by its name.

    Returns:
        The titles by item id, and the number of items with several titles.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file cannot be read, lacks one of the two columns, or has two columns with one name.
    """
    found: dict[str, str] = {}
    repeated: set[str] = set()
    for rows in read_item_table(source, id_column=item_column, title_column=title_column):
        for item_id, title in zip(rows.item_ids.to_pylist(), rows.titles.to_pylist(), strict=True):
            if item_id and title and found.setdefault(item_id, title) != title:
                repeated.add(item_id)
    return found, len(repeated)


def log_matches(catalogue: pa.StringArray, titles: Mapping[str, str], num_repeated: int) -> None:
    """Logs how many items of a model have a title, as a warning if none has.

    Args:
        catalogue: ids of all items; at least one.
        titles: titles by item id.
        num_repeated: number of items with several titles.
    """
    if num_repeated:
        logger.warning("Of %s with several titles in the item table, the first counts.", count_of(num_repeated, "item"))
    num_titled = pc.is_in(catalogue, value_set=pa.array(list(titles), pa.string())).true_count
    if num_titled:
        logger.info("%s of %s have a title.", f"{num_titled:,}", count_of(len(catalogue), "item"))
    else:
        logger.warning("%s", describe_no_match(next(iter(titles), ""), catalogue[0].as_py(), "the model"))


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
