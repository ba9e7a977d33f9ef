"""Checks the values of rows, from any format, and splits the rows into accepted and rejected ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.core.logs.blocks import Block, FileColumns
from components.core.logs.checks import FOUND_SCHEMA, Checks
from components.core.logs.texts import Longs, Positions, find_invalid_values, show_all, to_mask
from components.core.logs.times import Failed


@dataclass(frozen=True, kw_only=True)
class Row:
    """An event that was read on its own.

    Attributes:
        line: number of its line in the block, from 0.
        text: its text in the file.
        values: values of `FileColumns.in_file`; None for a missing value.
        reason: why it is rejected; empty if only its values remain to be checked.
    """

    line: int
    text: bytes
    values: Sequence[bytes | None] = ()
    reason: str = ""


def make_block(rows: list[Row], columns: FileColumns, num_lines: int) -> Block:
    """Checks the values of rows.

    Args:
        rows: the rows of a block.
        columns: the columns of the file.
        num_lines: number of lines of the block.
    """
    checks = Checks(len(rows))
    for reason in dict.fromkeys(row.reason for row in rows if row.reason):
        checks.reject(np.array([row.reason == reason for row in rows]), reason)
    empty = (None,) * len(columns.in_file)
    values = [pa.array(column, pa.binary()) for column in zip(*(row.values or empty for row in rows), strict=True)]
    if not values:
        values = [pa.array([], pa.binary()) for _ in columns.in_file]
    values = [pc.fill_null(column, b"") for column in values]
    by_name = dict(zip(columns.in_file, values, strict=True))

    def read(name: str) -> pa.StringArray:
        if name in columns.constants:
            return pa.repeat(columns.constants[name], len(rows))
        return show_all(by_name[name])

    times, failed = columns.parse_times(read)
    lines = np.array([row.line for row in rows], np.int64)
    return check_values(
        [by_name[name] for name in columns.text],
        times,
        failed,
        columns,
        checks=checks,
        num_lines=num_lines,
        lines=lines,
        show=lambda rejected: show_all(pa.array([rows[row].text for row in rejected], pa.binary())),
    )


def merge_blocks(first: Block, first_lines: Longs, second: Block, second_lines: Longs) -> Block:
    """Merges two blocks in the order of their lines.

    Args:
        first: a block whose rejected events have the numbers of `first_lines`; it has the number of lines of both.
        first_lines: [num_rows] line of each event of the first block.
        second: a block whose rejected events are numbered from 0.
        second_lines: [num_rows] line of each of these, none of which is in `first_lines`.
    """
    rejected = [] if first.rejected is None else [first.rejected]
    if second.rejected is not None:
        numbers = second_lines[second.rejected["line"].to_numpy()]
        rejected.append(second.rejected.set_column(0, FOUND_SCHEMA.field("line"), pa.array(numbers)))
    wrong = np.concatenate([np.zeros(0, np.int64), *(each["line"].to_numpy() for each in rejected)])
    kept = np.concatenate([lines[~np.isin(lines, wrong)] for lines in (first_lines, second_lines)])
    order = pa.array(np.argsort(kept))
    ids = [
        pa.concat_arrays([one.cast(pa.string()), other.cast(pa.string())]).take(order)
        for one, other in zip(first.ids, second.ids, strict=True)
    ]
    return Block(
        num_rows=first.num_rows + second.num_rows,
        num_lines=first.num_lines,
        ids=ids,
        times=pa.concat_arrays([first.times, second.times]).take(order),
        rejected=_concatenate(rejected).take(pa.array(np.argsort(wrong))) if rejected else None,
    )


def _concatenate(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    columns = [pa.concat_arrays([batch[name] for batch in batches]) for name in FOUND_SCHEMA.names]
    return pa.RecordBatch.from_arrays(columns, schema=FOUND_SCHEMA)


def check_values(
    texts: list[pa.BinaryArray],
    times: Longs,
    failed: Failed,
    columns: FileColumns,
    *,
    checks: Checks,
    num_lines: int,
    lines: Longs | None = None,
    show: Callable[[Positions], pa.StringArray],
) -> Block:
    """Checks the texts of rows and splits the rows into accepted and rejected ones.

    Args:
        texts: [num_rows] values of each of `columns.text`; an empty value is rejected.
        times: [num_rows] milliseconds since 1970.
        failed: reasons with disjoint masks [num_rows] of the times that cannot be accepted.
        columns: the columns of the file.
        checks: the checks of the rows, some of which may have been rejected already.
        num_lines: number of lines of the block.
        lines: [num_rows] line of each row in the block; by default, each row is a line.
        show: returns the texts of the rows at the given positions, for the file of rejected lines.
    """
    for name, text in zip(columns.text, texts, strict=True):
        checks.reject(to_mask(pc.match_substring(text, b"\0")), "NUL byte")
        checks.reject(find_invalid_values(text), "invalid UTF-8")
        length = pc.binary_length(text).to_numpy(zero_copy_only=False)
        checks.reject(length == 0, f"empty {name}")
        checks.reject(length > columns.max_id_bytes, f"{name} of over {columns.max_id_bytes} bytes")
    for reason, mask in failed:
        checks.reject(mask, reason)
    kept, rejected = checks.open_lines(), checks.rejected_lines()
    return Block(
        num_rows=checks.num_lines,
        num_lines=num_lines,
        ids=[text.take(pa.array(kept)).cast(pa.string()) for text in texts],
        times=pa.array(times[kept]),
        rejected=checks.to_rejected(show(rejected), lines) if len(rejected) else None,
    )
