"""Where the columns of a log stand in JSON lines."""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from components.core.logs.blocks import FileColumns

Path = tuple[str, ...]


class Integer(str):
    """An integer as it stands in the file."""


class Decimal(str):
    """A number with a fraction or an exponent, as it stands in the file."""


class _Constant(str):
    """NaN or an infinity."""


class _Repeated(dict[str, Any]):
    """An object in which a key occurs twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.repeated = {name for name in names if names.count(name) > 1}


# Numbers with a fraction are accepted as times alone.
ID_KINDS: dict[type, pa.DataType] = {str: pa.string(), Integer: pa.int64()}
TIME_KINDS: dict[type, pa.DataType] = {**ID_KINDS, Decimal: pa.float64()}


@dataclass(frozen=True, kw_only=True)
class JsonLayout:
    """Where the columns stand in each line.

    Attributes:
        columns: the columns to read.
        list_path: keys of the list of events; None if each line is one event.
        paths: keys of each of `columns.in_file`, from the line or from the event.
        in_list: for each of `columns.in_file`, whether its path begins at the event.
        kinds: type of each of `columns.in_file` in the first lines; a line with another type is read on its own.
    """

    columns: FileColumns
    list_path: Path | None
    paths: tuple[Path, ...]
    in_list: tuple[bool, ...]
    kinds: tuple[pa.DataType, ...]

    def count_max_lines(self, num_bytes: int) -> int:
        """Maximum number of accepted events in `num_bytes` bytes, given that each names its columns."""
        own = [path[-1] for path, is_own in zip(self.paths, self.in_list, strict=True) if is_own or not self.list_path]
        return (num_bytes + 1) // (2 + sum(len(name.encode()) + 4 for name in own))

    def sample_times(self, documents: list[Any]) -> list[str]:
        """Returns the times of parsed lines as texts, for `TimeFormat.detect`."""
        if self.columns.time in self.columns.constants:
            return []
        place = self.columns.in_file.index(self.columns.time)
        path, is_own = self.paths[place], self.in_list[place]
        times = []
        for document in documents:
            events = peek(document, self.list_path) if is_own and self.list_path is not None else [document]
            times += [peek(event, path) for event in events] if isinstance(events, list) else []
        return [time for time in times if isinstance(time, str) and time]


def parse(line: bytes) -> Any:
    """Parses a line; numbers stay the text that they are.

    Raises:
        ValueError: the line is not JSON.
    """
    try:
        return json.loads(
            line,
            parse_int=Integer,
            parse_float=Decimal,
            parse_constant=_Constant,
            object_pairs_hook=lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else _Repeated(pairs),
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def find_path(document: Any, name: str) -> tuple[Path | None, Path] | None:
    """Finds a column in a line.

    Args:
        document: the parsed line.
        name: a key, or keys separated by dots; a key may hold an object or a list of objects.

    Returns:
        The keys of the list, None if there is none, and the keys that follow; None if the column is not found.
    """
    if isinstance(document, dict) and name in document:
        return None, (name,)
    keys = name.split(".")
    list_path: Path | None = None
    begin = 0
    for place, key in enumerate(keys):
        if isinstance(document, list) and list_path is None and place:
            list_path, begin = tuple(keys[:place]), place
            document = next((each for each in document if isinstance(each, dict) and key in each), None)
        if not isinstance(document, dict) or key not in document:
            return None
        document = document[key]
    return list_path, tuple(keys[begin:])


def get_value(document: Any, path: Path) -> Any:
    """Value at a path; None if it is missing.

    Raises:
        ValueError: a key of the path is repeated.
    """
    for key in path:
        if not isinstance(document, dict):
            return None
        if isinstance(document, _Repeated) and key in document.repeated:
            raise ValueError(f"the key {key} twice")
        document = document.get(key)
    return document


def choose_kinds(columns: FileColumns, values: list[Any]) -> tuple[pa.DataType, ...]:
    """Chooses the type by which each of `columns.in_file` is read fast, from its first value in the file."""
    return tuple(
        (TIME_KINDS if name == columns.time else ID_KINDS).get(type(value), pa.string())
        for name, value in zip(columns.in_file, values, strict=True)
    )


def peek(document: Any, path: Path) -> Any:
    """Value at a path; None if it is missing or a key of the path is repeated."""
    try:
        return get_value(document, path)
    except ValueError:
        return None
