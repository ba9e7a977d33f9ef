"""Prints the results of commands: what became of a log, the metrics of a run and recommended items."""

import re
from collections.abc import Iterable
from typing import Any, TextIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.core.presentation import show_time
from components.core.small_splits import describe_small_splits

# What the findings of a data report say, for one and for several.
FINDINGS = {
    "duplicates": ("1 event equals another one", "{:,} events equal another one"),
    "backward_times": (
        "1 session or row has an earlier time than the row before",
        "{:,} sessions or rows have an earlier time than the row before",
    ),
    "sessions_in_two_splits": ("1 session is in two splits", "{:,} sessions are in two splits"),
    "splits_out_of_order": (
        "1 session starts before the sessions of an earlier split",
        "{:,} sessions start before the sessions of an earlier split",
    ),
    "ties": ("1 session has events at equal times", "{:,} sessions have events at equal times"),
    "long_sessions": (
        "1 session has more events than max_session_events",
        "{:,} sessions have more events than max_session_events",
    ),
    "busy_visitors": (
        "1 visitor has more events than max_visitor_events",
        "{:,} visitors have more events than max_visitor_events",
    ),
    "no_event_column": (
        "1 file has no event column: each of its events counts",
        "{:,} files have no event column: each of their events counts",
    ),
    "missing_event_types": (
        "1 of the event_types does not occur in the log",
        "{:,} of the event_types do not occur in the log",
    ),
    "seconds": (
        "1 time is before 1973-03-03: it is probably in seconds",
        "{:,} times are before 1973-03-03: they are probably in seconds",
    ),
    "cut_files": (
        "1 file has no newline after its last line, which may be incomplete",
        "{:,} files have no newline after their last line, which may be incomplete",
    ),
    "null_texts": (
        "1 id is probably a missing value, but is read as a text like any other",
        "{:,} ids are probably missing values, but are read as texts like any other",
    ),
    "small_splits": ("1 split is too small for metrics", "{:,} splits are too small for metrics"),
}


def print_funnel(document: dict[str, Any], console: Console) -> None:
    """Prints the numbers of events that were read, dropped for each reason and kept in each split.

    Args:
        document: the contents of report.json.
        console: the console to print to.
    """
    funnel = document.get("funnel")
    if not funnel:
        return
    dropped = {f"- {reason}": count for reason, count in funnel["dropped"].items()}
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    for label, count in {"events read": funnel["read"], **dropped, **funnel["kept"]}.items():
        table.add_row(Text(escape(label)), f"{count:,}", f"{count / max(1, funnel['read']):.1%}")
    console.print(table)


def print_splits(document: dict[str, Any], console: Console) -> None:
    """Prints the size and the time span of each split.

    Args:
        document: the contents of report.json.
        console: the console to print to.
    """
    table = Table("", *document["splits"])
    splits = document["splits"].values()
    for label, key in (("events", "num_events"), ("sessions", "num_sessions"), ("items", "num_items")):
        table.add_row(label, *(f"{split[key]:,}" for split in splits))
    for label, key in (("first event", "first_time"), ("last event", "last_time")):
        table.add_row(label, *(show_time(split[key], "minutes") for split in splits))
    console.print(table)


def print_findings(document: dict[str, Any], console: Console) -> None:
    """Prints how times were read, the rejected lines and the findings that are not zero, each in a line.

    Args:
        document: the contents of report.json.
        console: the console to print to.
    """
    lines = []
    formats = document.get("time_formats", {})
    if formats:
        counts = [f"{count:,} x {name}" for name, count in formats.items()] if len(formats) > 1 else formats
        lines.append(f"Times were read as {', '.join(counts)}")
    if document["num_rejected"]:
        reasons = ", ".join(f"{count:,} x {reason}" for reason, count in document["rejected_by_reason"].items())
        lines.append(f"{document['num_rejected']:,} of {document['num_lines']:,} lines were rejected: {reasons}")
    for name, count in document["findings"].items():
        if count:
            lines.append(_describe_finding(name, count, document))
    for line in lines:
        console.print(Text(f"{escape(line)}."))


def _describe_finding(name: str, count: int, document: dict[str, Any]) -> str:
    one, several = FINDINGS.get(name, (f"1 {name}", f"{{:,}} {name}"))
    details = _describe_details(name, document)
    return (one if count == 1 else several.format(count)) + (f": {details}" if details else "")


def _describe_details(name: str, document: dict[str, Any]) -> str:
    """What a finding was found in, and what to do; empty where its words say it all."""
    if name == "small_splits":
        return describe_small_splits(document)
    if name == "null_texts":
        ids = ", ".join(f"{each} ({count:,})" for each, count in document.get("null_texts", {}).items())
        return f"{ids}. If they are, leave these fields of the log empty: such lines are rejected"
    return ""


def print_items(items: Iterable[tuple[str, float]], stream: TextIO) -> None:
    r"""Prints one item and its score per line, separated by a tab.

    On a terminal, non-printable characters (control characters, direction marks) are escaped. Elsewhere ids are written
    as UTF-8, and only tabs and newlines, which would break the format, are escaped as `\t` and `\n`.

    Args:
        items: item ids and scores, best first.
        stream: the stream to write to.
    """
    is_terminal = stream.isatty()
    for item_id, score in items:
        text = escape(item_id) if is_terminal else item_id.replace("\t", "\\t").replace("\n", "\\n")
        line = f"{text}\t{score:.6f}\n"
        if is_terminal:
            encoding = stream.encoding or "utf-8"
            stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        else:
            stream.flush()
            stream.buffer.write(line.encode())
    stream.flush()


def escape(text: str) -> str:
    r"""Replaces each non-printable character by its Python escape sequence, such as `\x1b`."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def escape_lines(text: str) -> str:
    """Does the same as `escape`, except for newlines and tabs, which texts of several lines have."""
    return re.sub(r"[^\n\t]+", lambda found: escape(found[0]), text)


def say(text: str, *, err: bool = False) -> None:
    """Prints text that a user or a server has a part in, and a newline; it cannot command the terminal."""
    click.echo(escape_lines(text), err=err)


def print_log(log: str, stream: TextIO) -> None:
    """Prints the log of a task: to a terminal with `escape_lines`, to a file or a pipe without colours but as it is."""
    click.echo(escape_lines(log) if stream.isatty() else log, file=stream, nl=False)
