"""Titles of items, and the search for items by id or title."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq


def read_titles(path: Path, *, item_column: str, title_column: str) -> dict[str, str]:
    """Reads the titles of items; an item without a title is left out, and the first of two titles counts.

    Args:
        path: a Parquet file, or a CSV file with a header.
        item_column: column with the item ids.
        title_column: column with the titles.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, or a column is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected a Parquet or CSV file with the titles of items. Received: {path}")
    names = [item_column, title_column]
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        if is_parquet:
            found_names = pq.read_schema(path).names
            table = pq.read_table(path, columns=[name for name in names if name in found_names])
        else:
            texts = dict.fromkeys(names, pa.string())  # ids stay the text that they are
            table = pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=texts))
            found_names = table.column_names
    except pa.ArrowInvalid as error:
        raise ValueError(f"Expected a Parquet or CSV file with the titles. Received: {path}, {error}") from error
    if not set(names) <= set(found_names):
        raise ValueError(f"Expected the columns {', '.join(names)} in {path}. Received: {', '.join(found_names)}")
    item_ids, titles = (table[name].cast(pa.string()).to_pylist() for name in names)
    found: dict[str, str] = {}
    for item_id, title in zip(item_ids, titles, strict=True):
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
