"""The item table: titles and other columns by item id, from Parquet or delimited text."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from components.core.logs.files import LogFile, find_files
from components.core.logs.formats import COMPRESSED, HEAD_BYTES, PARQUET, find_format

# Names of the two columns that have a meaning, in any case and with or without underscores.
ID_NAMES = ("item", "itemid", "id", "productid", "articleid")
TITLE_NAMES = ("title", "name", "itemname", "productname")
DELIMITERS = ",\t;|"
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
    """

    def __init__(self, rows: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self.rows = rows or {}

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
        source: a Parquet or text file with a header, a folder or a glob of such files, on disk or in a bucket. A column
            `item` (or `item_id`, ...) has the id, a column `title` or `name` the title.
        item_ids: the items to look for.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file cannot be read or lacks one of the two columns.
    """
    wanted = pa.array(sorted(item_ids), pa.string())
    rows: dict[str, dict[str, str]] = {}
    for file in find_files(source):
        table = _read(file)
        columns = find_columns(table.schema.names, file.name)
        ids = table[columns["id"]].cast(pa.string())
        found = table.filter(pc.is_in(ids, value_set=wanted))
        for row in found.to_pylist():
            item_id = str(row.pop(columns["id"]))
            others = list(row.items())
            values = {"title": _text(row.pop(columns["title"]))}
            values |= {name: _text(value) for name, value in others if name != columns["title"]}
            shown = {name: value for name, value in values.items() if value and "://" not in value}
            rows.setdefault(item_id, dict(list(shown.items())[: MAX_NOTES + 1]))
    return Items(rows)


def check_items(source: str) -> None:
    """Checks that the files of an item table exist and have the two columns.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file cannot be read or lacks one of the two columns.
    """
    for file in find_files(source):
        find_columns(_read(file, only_header=True).schema.names, file.name)


def find_columns(names: Collection[str], source: str) -> dict[str, str]:
    """Returns the names of the columns `id` and `title` in a table.

    Raises:
        ValueError: one of them is missing.
    """
    found = {}
    for key, known in (("id", ID_NAMES), ("title", TITLE_NAMES)):
        by_name = {name.strip().lower().replace("_", ""): name for name in reversed(list(names))}
        match = next((by_name[name] for name in known if name in by_name), None)
        if match is None:
            raise ValueError(
                f"Expected {source} to have a column {known[0]} with the item's {key}. Received: {', '.join(names)}"
            )
        found[key] = match
    return found


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _read(file: LogFile, *, only_header: bool = False) -> pa.Table:
    try:
        with file.open_stream() as stream:
            kind = find_format(stream.read(HEAD_BYTES))
        if kind == PARQUET:
            with file.open_stream() as stream:
                return pq.read_schema(stream).empty_table() if only_header else pq.read_table(stream)
        codec = kind if kind in COMPRESSED else None
        with file.open_stream(codec) as stream:
            line = stream.read(1 << 16).partition(b"\n")[0].decode(errors="replace")
        parse = csv.ParseOptions(delimiter=max(DELIMITERS, key=line.count), newlines_in_values=True)
        with file.open_stream(codec) as stream, csv.open_csv(stream, parse_options=parse) as reader:
            names = reader.schema.names
        texts = pa.schema([(name, pa.string()) for name in names])
        if only_header:
            return texts.empty_table()
        # An id 007 would be read as the number 7.
        convert = csv.ConvertOptions(column_types=texts)
        with file.open_stream(codec) as stream:
            return csv.read_csv(stream, parse_options=parse, convert_options=convert)
    except pa.ArrowException as error:
        raise ValueError(f"Expected a Parquet file or text with a header. Received: {file.name}, {error}") from error
