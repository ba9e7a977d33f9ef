"""The columns to read from a log, and how to find them in a file."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from components.core.logs.blocks import FileColumns
from components.core.logs.files import LogFile
from components.core.logs.formats import BYTE_ORDER_MARK, find_wide_encoding
from components.core.logs.header_advice import DELIMITERS, NAME_COLUMNS, advise, advise_on_header, split
from components.core.logs.json_layout import JsonLayout, choose_kinds, find_path, peek
from components.core.logs.layouts import describe_fit
from components.core.logs.lines import UNIT_SEPARATOR, Layout
from components.core.logs.texts import show
from components.core.logs.times import AUTO, TIME_FORMATS, TimeFormat, make_fixed
from components.core.presentation import list_names, shorten

MAX_LINE_BYTES = 1 << 26
QUOTING = (AUTO, "rfc4180", "none")
# Names of columns that probably have the type of an event, and parts of names that exclude it.
_EVENT_NAME = re.compile(r"event|action|behaviou?r|interaction|activity|type", re.IGNORECASE)
_OTHER_NAME = re.compile(r"date|time|stamp|id$|_id|count|num", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class LogForm:
    r"""The form of the files of a log: parameters of the steps that read one; their component.py describes them.

    Attributes:
        delimiter: field delimiter, also `\t` for a tab; if empty, the one with which a file has the columns.
        max_id_bytes: maximum length of a text in bytes.
        time_format: format of the times, one of TIME_FORMATS.
        has_header: whether the first line of text files has the names of the columns.
        column_names: names of the columns of text files without a header; `has_header` is then ignored.
        quoting: one of QUOTING: whether quotes around fields follow RFC 4180. By default, they do unless the delimiter
            is a tab, because text/tab-separated-values has no quotes.

    Raises:
        ValueError: a value is invalid.
    """

    delimiter: str = ""
    max_id_bytes: int = 256
    time_format: str = AUTO
    has_header: bool = True
    column_names: tuple[str, ...] = ()
    quoting: str = AUTO

    def __post_init__(self) -> None:
        if not self.delimiter.isascii() or set(self.delimiter) & set('\n\r\0"' + UNIT_SEPARATOR):
            raise ValueError(f"Expected ASCII characters as delimiter. Received: {self.delimiter!r}")
        if not 1 <= self.max_id_bytes <= MAX_LINE_BYTES:
            raise ValueError(
                f"Expected max_id_bytes to be between 1 and {MAX_LINE_BYTES}. Received: {self.max_id_bytes}"
            )
        for name, allowed in (("time_format", TIME_FORMATS), ("quoting", QUOTING)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"Expected {name} to be one of {', '.join(allowed)}. Received: {getattr(self, name)!r}"
                )
        if len(set(self.column_names)) < len(self.column_names):
            raise ValueError(f"Expected different names in column_names. Received: {list_names(self.column_names)}")


@dataclass(frozen=True, kw_only=True)
class LogColumns:
    """The columns to read from a log, and the form of its files.

    Attributes:
        text: names of the columns that are read as text.
        time: name of the time column.
        time_offset: name of a column with milliseconds to add to the time; empty for none.
        optional: names among `text` that a file may lack.
        form: the form of the files.

    Raises:
        ValueError: a name is empty, there twice, or not among the names of the columns.
    """

    text: tuple[str, ...]
    time: str
    time_offset: str = ""
    optional: tuple[str, ...] = ()
    form: LogForm = field(default_factory=LogForm)

    def __post_init__(self) -> None:
        names, given = self.wanted, self.form.column_names
        if len(set(names)) < len(names) or "" in names:
            raise ValueError(f"Expected a different name for each column. Received: {list_names(names, quoted=True)}")
        if given and (unknown := [name for name in names if name not in given and name not in self.optional]):
            raise ValueError(
                f"Expected column_names to have each of {list_names(names)}. Received: {list_names(given)}; "
                f"without {list_names(unknown)}"
            )

    @property
    def wanted(self) -> tuple[str, ...]:
        """Names of all columns to read: texts, time, time offset."""
        return (*self.text, self.time, *([self.time_offset] if self.time_offset else []))

    @property
    def reads_header(self) -> bool:
        """Whether the first line of text files has the names of the columns."""
        return self.form.has_header and not self.form.column_names

    def choose(self, names: Sequence[str], file: LogFile) -> FileColumns | None:
        """Chooses the columns of a file; None if one is missing or there twice.

        Args:
            names: names of the columns in the file.
            file: the file; the folders of its path may give the value of a column.

        Raises:
            ValueError: an optional column is missing, but another one may have its contents.
        """
        constants = {name: value for name, value in file.partition.items() if name in self.wanted and name not in names}
        missing = tuple(name for name in self.optional if name not in names and name not in constants)
        required = [name for name in self.wanted if name not in constants and name not in missing]
        if any(names.count(name) != 1 for name in required):
            return None
        for name in missing:
            if similar := [other for other in names if other not in self.wanted and _may_be_event_type(other)]:
                raise ValueError(
                    f"{file.name} has no column {name}, but {list_names(similar)} may have the type of the events. "
                    f"Set event_column={shorten(similar[0])} and event_types, or event_column= (empty) if every event "
                    "counts."
                )
        return FileColumns(
            text=tuple(name for name in self.text if name not in constants and name not in missing),
            time=self.time,
            time_offset=self.time_offset,
            max_id_bytes=self.form.max_id_bytes,
            constants=constants,
            missing=missing,
        )

    def with_times(self, columns: FileColumns, texts: Iterable[str], source: str) -> FileColumns:
        """Adds the format of the times, detected from some times of the file.

        Raises:
            ValueError: see `TimeFormat.detect`.
        """
        if self.time in columns.constants:
            texts = [columns.constants[self.time]]
        if self.form.time_format == AUTO:
            return replace(columns, time_format=TimeFormat.detect(texts, self.time, source))
        return replace(columns, time_format=make_fixed(self.form.time_format, texts))

    def find(self, line: bytes, file: LogFile, suffix: str, *, is_empty: bool) -> Layout:
        """Finds the columns in the first line of a text file.

        Args:
            line: the line without its newline.
            file: the file.
            suffix: suffix of the file, such as `.csv`.
            is_empty: whether the text is empty.

        Raises:
            ValueError: the file is empty, a column is missing or duplicated, or the text is UTF-16 or UTF-32.
        """
        if not line:
            expected = f"a header with [{list_names(self.wanted, quoted=True)}]" if self.reads_header else "lines"
            found = "an empty file" if is_empty else "a blank first line; remove it"
            raise ValueError(f"Expected {expected} in {file.name}. Received: {found}")
        if encoding := find_wide_encoding(line):
            raise ValueError(
                f"Expected UTF-8 text in {file.name}. Received: {encoding}; "
                f"convert it, for example with: iconv -f {encoding} -t UTF-8"
            )
        line = line.removeprefix(BYTE_ORDER_MARK).removesuffix(b"\r")
        tried: dict[str, list[str]] = {}
        for delimiter in self._delimiters(suffix):
            is_quoted = self.form.quoting == "rfc4180" or (self.form.quoting == AUTO and delimiter != "\t")
            fields = tried[delimiter] = split(line, delimiter, is_quoted=is_quoted)
            names = fields if self.reads_header else self._name(fields)
            if names and (columns := self.choose(names, file)):
                return Layout(
                    columns=columns,
                    num_fields=len(fields),
                    delimiter=delimiter if len(delimiter) == 1 else UNIT_SEPARATOR,
                    fields=tuple(names.index(name) for name in columns.in_file),
                    has_header=self.reads_header,
                    is_quoted=is_quoted,
                    long_delimiter=delimiter if len(delimiter) > 1 else "",
                )
        delimiter = max(tried, key=lambda each: len(tried[each]))
        raise ValueError(self._explain(tried[delimiter], delimiter, line, file))

    def find_json(self, documents: list[Any], file: LogFile, first_line: str) -> JsonLayout:
        """Finds the columns in the first lines of a JSON lines file.

        Args:
            documents: the parsed lines.
            file: the file.
            first_line: the first line, for the error message.

        Raises:
            ValueError: a column is missing, or the columns are in different lists.
        """
        found = {}
        for name in self.wanted:
            paths = (path for document in documents if (path := find_path(document, name)) is not None)
            if (path := next(paths, None)) is not None:
                found[name] = path
        keys = list(dict.fromkeys(key for document in documents if isinstance(document, dict) for key in document))
        columns = self.choose([*found, *(key for key in keys if key not in found)], file)
        lists = {path for path, _ in found.values() if path is not None}
        if columns is None or len(lists) > 1:
            raise ValueError(
                f"Expected the keys [{list_names(self.wanted, quoted=True)}] in {file.name}, or paths such as "
                f"events.item in one list. Received: [{list_names(keys, quoted=True)}]. "
                f"{describe_fit(first_line) or NAME_COLUMNS}"
            )
        list_path = next(iter(lists), None)
        places = [found[name] for name in columns.in_file]
        values = [_first_value(documents, path, keys) for path, keys in places]
        return JsonLayout(
            columns=columns,
            list_path=list_path,
            paths=tuple(keys for _, keys in places),
            in_list=tuple(path is not None for path, _ in places),
            kinds=choose_kinds(columns, values),
        )

    def _delimiters(self, suffix: str) -> list[str]:
        if self.form.delimiter:
            return ["\t" if self.form.delimiter == r"\t" else self.form.delimiter]
        first = "," if suffix == ".csv" else "\t"
        return [first, *(each for each in DELIMITERS if each != first)]

    def _name(self, fields: list[str]) -> list[str]:
        """Names the fields of a file without a header; empty if the line has too few or too many of them."""
        if self.form.column_names:
            return list(self.form.column_names) if len(self.form.column_names) == len(fields) else []
        return [str(number) for number in range(1, len(fields) + 1)]

    def _explain(self, fields: list[str], delimiter: str, line: bytes, file: LogFile) -> str:
        """Explains why the columns were not found."""
        if not self.reads_header:
            names = list_names(self.form.column_names) or f"fields with the numbers {list_names(self.wanted)}"
            message = (
                f"Expected each line of {file.name} to have {names}, separated by {delimiter!r}. "
                f"Received: {len(fields)} fields in the line {show(line[:200])!r}"
            )
            return ". ".join(filter(None, (message, advise(line))))
        required = {name for name in self.wanted if name not in self.optional}
        return (
            f"Expected each of the columns [{list_names(self.wanted, quoted=True)}] once in {file.name}, "
            f"separated by {delimiter!r}. Received: [{list_names(fields, quoted=True)}]. "
            f"{advise_on_header(line, fields, delimiter, wanted=self.wanted, required=required)}"
        )


def _may_be_event_type(name: str) -> bool:
    return bool(_EVENT_NAME.search(name)) and not _OTHER_NAME.search(name)


def _first_value(documents: list[Any], list_path: tuple[str, ...] | None, keys: tuple[str, ...]) -> Any:
    """First value at a path that is not null."""
    for document in documents:
        events = [document] if list_path is None else peek(document, list_path)
        for event in events if isinstance(events, list) else []:
            if (value := peek(event, keys)) is not None:
                return value
    return None
