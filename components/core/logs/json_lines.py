"""Reads JSON lines: one event a line, or one session a line with a list of events."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from components.core.logs.blocks import Block
from components.core.logs.checks import Checks
from components.core.logs.json_layout import Decimal, Integer, JsonLayout, Path, get_value, parse
from components.core.logs.rows import read_times
from components.core.logs.texts import Longs, Positions, is_utf8, show_all
from components.core.logs.values import Row, check_values, make_block


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
        kinds = (str, Integer, Decimal) if name == columns.time else (str, Integer)
        if value is not None and type(value) not in kinds:
            return f"{name} is neither text nor a whole number", []
        values.append(None if value is None else value.encode("utf-8", "surrogatepass"))
    return "", values
