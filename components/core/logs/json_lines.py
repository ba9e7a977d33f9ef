"""Reads JSON lines: one event a line, or one session a line with a list of events."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from components.core.logs.blocks import Block, FileColumns
from components.core.logs.checks import Checks
from components.core.logs.rows import read_times
from components.core.logs.texts import Longs, Positions, is_utf8, show_all
from components.core.logs.values import Row, check_values, make_block

Path = tuple[str, ...]


class _Integer(str):
    """An integer as it stands in the file."""


class _Decimal(str):
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
ID_KINDS: dict[type, pa.DataType] = {str: pa.string(), _Integer: pa.int64()}
TIME_KINDS: dict[type, pa.DataType] = {**ID_KINDS, _Decimal: pa.float64()}


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
            parse_int=_Integer,
            parse_float=_Decimal,
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


def scan_json(block: bytes, layout: JsonLayout) -> Block:
    """Reads whole lines and checks each event."""
    return _scan_clean(block, layout) or _scan_lines(block, layout)


def _scan_clean(block: bytes, layout: JsonLayout) -> Block | None:
    """Reads lines of valid JSON with the kinds of the first lines; None if a line differs."""
    if not block.endswith(b"\n"):
        block += b"\n"
    num_lines = block.count(b"\n")
    # With these, an object cannot span lines, and as many objects as lines are one object a line.
    bare = block.replace(b"\r\n", b"\n") if b"\r" in block else block
    if not (bare.startswith(b"{") and bare.endswith(b"}\n") and bare.count(b"}\n{") == num_lines - 1):
        return None
    if b"-0" in block or not is_utf8(block):
        return None
    try:
        table = pa_json.read_json(
            pa.BufferReader(block),
            pa_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            pa_json.ParseOptions(explicit_schema=_make_schema(layout), unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != num_lines:
        return None
    lines = np.arange(num_lines)
    document = pa.concat_arrays(table.to_struct_array().chunks)
    events = document
    if layout.list_path is not None:
        found = _get(document, layout.list_path)
        if found.null_count or found.values.null_count:
            return None
        lengths = pc.list_value_length(found).to_numpy()
        if lengths.min(initial=1) < 1:
            return None
        lines, events = np.repeat(lines, lengths), found.flatten()
    values = []
    for path, is_own in zip(layout.paths, layout.in_list, strict=True):
        column = _get(events if is_own else document, path)
        values.append(column if is_own or layout.list_path is None else column.take(pa.array(lines)))
    return _check(block, values, lines, layout)


def _check(block: bytes, values: list[pa.Array], lines: Longs, layout: JsonLayout) -> Block:
    columns = layout.columns
    by_name = dict(zip(columns.in_file, values, strict=True))
    times, failed = read_times(columns, by_name, len(lines))
    texts = [pc.fill_null(by_name[name].cast(pa.string()).cast(pa.binary()), b"") for name in columns.text]

    def show(rejected: Positions) -> pa.StringArray:
        split = block.split(b"\n")
        return show_all(pa.array([split[lines[row]].removesuffix(b"\r") for row in rejected], pa.binary()))

    return check_values(
        texts,
        times,
        failed,
        columns,
        checks=Checks(len(lines)),
        num_lines=block.count(b"\n"),
        lines=lines,
        show=show,
    )


def _make_schema(layout: JsonLayout) -> pa.Schema:
    """Schema of the lines, with only the columns to read."""
    tree: dict[str, Any] = {}
    for path, is_own, kind in zip(layout.paths, layout.in_list, layout.kinds, strict=True):
        full = (*(layout.list_path or ()), "", *path) if is_own and layout.list_path is not None else path
        node = tree
        for key in full[:-1]:
            node = node.setdefault(key, {})
        node[full[-1]] = kind

    def make(node: Any) -> pa.DataType:
        if not isinstance(node, dict):
            return node
        if "" in node and layout.list_path is not None:
            return pa.list_(make(node[""]))
        return pa.struct([(key, make(child)) for key, child in node.items()])

    return pa.schema(list(make(tree)))


def _get(document: pa.Array, path: Path) -> pa.Array:
    return pc.struct_field(document, list(path))


def _scan_lines(block: bytes, layout: JsonLayout) -> Block:
    lines = block.removesuffix(b"\n").split(b"\n")
    rows = [row for number, line in enumerate(lines) for row in _read_line(line.removesuffix(b"\r"), number, layout)]
    return make_block(rows, layout.columns, len(lines))


def _read_line(line: bytes, number: int, layout: JsonLayout) -> Iterator[Row]:
    """Yields the events of a line."""

    def reject(reason: str) -> Row:
        return Row(line=number, text=line, reason=reason)

    if not line:
        yield reject("blank line")
        return
    if not is_utf8(line):
        yield reject("invalid UTF-8")
        return
    try:
        document = parse(line)
    except ValueError:
        yield reject("invalid JSON")
        return
    if not isinstance(document, dict):
        yield reject("no JSON object")
        return
    events = [document]
    if layout.list_path is not None:
        try:
            events = get_value(document, layout.list_path)
        except ValueError as error:
            yield reject(str(error))
            return
        name = ".".join(layout.list_path)
        if not isinstance(events, list) or not events:
            yield reject(f"no list {name}" if not isinstance(events, list) else f"empty {name}")
            return
    for event in events:
        reason, values = _read_event(document, event, layout)
        yield reject(reason) if reason else Row(line=number, text=line, values=values)


def _read_event(document: Any, event: Any, layout: JsonLayout) -> tuple[str, list[bytes | None]]:
    """Returns why an event is rejected, or its values."""
    columns = layout.columns
    values: list[bytes | None] = []
    for name, path, is_own in zip(columns.in_file, layout.paths, layout.in_list, strict=True):
        try:
            value = get_value(event if is_own else document, path)
        except ValueError as error:
            return str(error), []
        kinds = (str, _Integer, _Decimal) if name == columns.time else (str, _Integer)
        if value is not None and type(value) not in kinds:
            return f"{name} is neither text nor a whole number", []
        values.append(None if value is None else value.encode("utf-8", "surrogatepass"))
    return "", values
