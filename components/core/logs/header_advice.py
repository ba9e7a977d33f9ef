"""What to do about a first line that does not have the columns that a log is read with."""

import re
from collections.abc import Sequence

from components.core.logs.layouts import describe_fit
from components.core.logs.quotes import split_fields
from components.core.logs.texts import show

DELIMITERS = (",", "\t", ";", "|")
NAME_COLUMNS = "Set the parameters with the names of columns, such as item_column and time_column, to names in the file"

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_SEPARATOR_LINE = re.compile(rb"sep=(.)\s*$")  # a note for spreadsheets
_MIXED_LINE_ENDS = (
    "The line ends are mixed, a carriage return stands before the first newline: convert them, for example with: "
    r"sed 's/\r$//; s/\r/\n/g'"
)


def advise(line: bytes) -> str:
    """Returns what the line itself suggests: its line ends or a well-known layout; empty for nothing."""
    return _MIXED_LINE_ENDS if b"\r" in line else describe_fit(show(line))


def advise_on_header(
    line: bytes, fields: list[str], delimiter: str, *, wanted: Sequence[str], required: set[str]
) -> str:
    """Returns what to do about a header.

    Args:
        line: the first line of the file.
        fields: its fields.
        delimiter: what separates them.
        wanted: names of the columns that are read.
        required: those of them that every log must have.
    """
    fit, found = advise(line), set(fields)
    plain = {name.strip().lower() for name in found}
    if b"\r" in line:
        return fit
    if repeated := [name for name in wanted if fields.count(name) > 1]:
        return f"{repeated[0]} stands there more than once: rename the others"
    if any(name.strip('"') in wanted and name not in wanted for name in found):
        return _join(fit, "The names have quotes: set quoting=rfc4180.")
    if not required <= found and all(name.lower() in plain for name in required):
        return f"Case and spaces count. {NAME_COLUMNS}"
    for other in DELIMITERS:
        if other != delimiter and set(split(line, other, is_quoted=True)) >= required:
            return f"The delimiter of the file is {other!r}: set delimiter={other}"
    if note := _SEPARATOR_LINE.match(line):
        return f"Remove the first line, a note for spreadsheets, and set delimiter={show(note[1])}"
    if len(fields) == 1 and not fit:
        fit = "The line is a single field: set delimiter to what separates the fields of the file"
    if any(map(_NUMBER.fullmatch, found)):
        return _join(fit, "If the first line is an event, set column_names to the names of all columns.")
    return fit or NAME_COLUMNS


def _join(*sentences: str) -> str:
    return ". ".join(filter(None, sentences))


def split(line: bytes, delimiter: str, *, is_quoted: bool) -> list[str]:
    """Returns the fields of a line, as they are shown."""
    fields = split_fields(line, delimiter.encode())[0] if is_quoted and b'"' in line else None
    fields = line.split(delimiter.encode()) if fields is None else fields
    shown = {field: show(field) for field in set(fields)}
    return [shown[field] for field in fields]
