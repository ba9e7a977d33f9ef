"""The item table: titles and other columns by item id, from Parquet or delimited text."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from components.core.logs.files import LogFile, find_files
from components.core.logs.formats import COMPRESSED, HEAD_BYTES, PARQUET, find_format
from components.core.presentation import list_names

# Names of the two columns that have a meaning, in any case and with or without underscores.
ID_NAMES = ("item", "itemid", "id", "productid", "articleid")
TITLE_NAMES = ("title", "name", "itemname", "productname")
DELIMITERS = ",\t;|"


class ItemRows(NamedTuple):
    """Rows of one file of an item table.

    Attributes:
        item_ids: [num_rows] ids; null where there is none.
        titles: [num_rows] titles; null or empty where there is none.
        others: the other columns, of any types; no columns if they were not asked for.
    """

    item_ids: pa.ChunkedArray
    titles: pa.ChunkedArray
    others: pa.Table


def read_item_table(
    source: str,
    *,
    item_ids: Collection[str] | None = None,
    id_column: str = "",
    title_column: str = "",
    with_others: bool = False,
) -> Iterator[ItemRows]:
    """Reads an item table file by file; an id may have several rows.

    Args:
        source: a Parquet or text file with a header, a folder or a glob of such files, on disk or in a bucket.
        item_ids: the items to look for; None for all.
        id_column: column with the ids; by default the one whose name is in ID_NAMES.
        title_column: column with the titles; by default the one whose name is in TITLE_NAMES.
        with_others: whether to read the other columns too.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file cannot be read, lacks one of the two columns, or has two columns with one name.
    """
    wanted = None if item_ids is None else pa.array(sorted(item_ids), pa.string())
    for file in find_files(source):
        names = _read_names(file)
        id_name, title_name = find_columns(names, file.name, id_column=id_column, title_column=title_column)
        rows = _read(file, names, None if with_others else list(dict.fromkeys([id_name, title_name])))
        try:
            ids, titles = (rows[name].cast(pa.string()) for name in (id_name, title_name))
        except pa.ArrowException as error:
            raise ValueError(f"Expected ids and titles in {file.name} to be texts. Received: {error}") from error
        found = ItemRows(ids, titles, rows.drop_columns(list({id_name, title_name})))
        if wanted is not None:
            is_wanted = pc.is_in(ids, value_set=wanted)
            found = ItemRows(*(each.filter(is_wanted) for each in found))
        yield found


def check_item_table(source: str, *, id_column: str = "", title_column: str = "") -> None:
    """Checks that the files of an item table exist and have the two columns.

    Args:
        source: as for `read_item_table`.
        id_column: likewise.
        title_column: likewise.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file cannot be read, lacks one of the two columns, or has two columns with one name.
    """
    for file in find_files(source):
        find_columns(_read_names(file), file.name, id_column=id_column, title_column=title_column)


def describe_no_match(table_id: str, wanted_id: str, place: str) -> str:
    """Returns what is said where an item table has none of the items that are looked for.

    Args:
        table_id: an id of the table.
        wanted_id: an id that was looked for.
        place: where it is from, such as `the model`.
    """
    return (
        "Expected the item table to have the ids of the log, character by character. Received: none of the ids of "
        f"{place}; the table has ids such as {table_id!r}, {place} such as {wanted_id!r}"
    )


def find_columns(names: Sequence[str], source: str, *, id_column: str = "", title_column: str = "") -> tuple[str, str]:
    """Returns the names of the columns with the ids and with the titles.

    Args:
        names: names of all columns of a file.
        source: name of the file, for messages.
        id_column: column with the ids; by default the one whose name is in ID_NAMES.
        title_column: column with the titles; by default the one whose name is in TITLE_NAMES.

    Raises:
        ValueError: one of them is missing, or two columns have the same name.
    """
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"Expected each column of {source} to have a name of its own. Received: {list_names(repeated)} more than "
            "once"
        )
    by_name = {name.strip().lower().replace("_", ""): name for name in reversed(names)}
    found = []
    for key, given, known in (("id", id_column, ID_NAMES), ("title", title_column, TITLE_NAMES)):
        match = given if given in names else None
        if not given:
            match = next((by_name[name] for name in known if name in by_name), None)
        if match is None:
            raise ValueError(
                f"Expected {source} to have a column {given or known[0]} with the item's {key}. "
                f"Received: {list_names(names)}"
            )
        found.append(match)
    return found[0], found[1]


def _read_names(file: LogFile) -> list[str]:
    try:
        kind = _find_kind(file)
        if kind == PARQUET:
            with file.open_stream() as stream:
                return list(pq.read_schema(stream).names)
        codec, parse = _find_form(file, kind)
        with file.open_stream(codec) as stream, csv.open_csv(stream, parse_options=parse) as reader:
            return list(reader.schema.names)
    except pa.ArrowException as error:
        raise ValueError(_describe_failure(file, error)) from error


def _read(file: LogFile, names: Sequence[str], kept: list[str] | None) -> pa.Table:
    try:
        kind = _find_kind(file)
        if kind == PARQUET:
            with file.open_stream() as stream:
                return pq.read_table(stream, columns=kept)
        codec, parse = _find_form(file, kind)
        # An id 007 would be read as the number 7.
        convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=kept)
        with file.open_stream(codec) as stream:
            return csv.read_csv(stream, parse_options=parse, convert_options=convert)
    except pa.ArrowException as error:
        raise ValueError(_describe_failure(file, error)) from error


def _find_kind(file: LogFile) -> str:
    with file.open_stream() as stream:
        return str(find_format(stream.read(HEAD_BYTES)))


def _find_form(file: LogFile, kind: str) -> tuple[str | None, csv.ParseOptions]:
    """Returns the compression of a text file, and how its fields are separated."""
    codec = kind if kind in COMPRESSED else None
    with file.open_stream(codec) as stream:
        line = stream.read(1 << 16).partition(b"\n")[0].decode(errors="replace")
    return codec, csv.ParseOptions(delimiter=max(DELIMITERS, key=line.count), newlines_in_values=True)


def _describe_failure(file: LogFile, error: pa.ArrowException) -> str:
    return f"Expected a Parquet file or text with a header. Received: {file.name}, {error}"
