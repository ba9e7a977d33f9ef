import io
import os

import pytest
from rich.console import Console

from components.core.intake.draft import FINDINGS as FOUND
from pipeline.report import (
    FINDINGS,
    print_findings,
    print_funnel,
    print_items,
    print_log,
    print_splits,
    say,
)

# The parts of report.json that are printed.
DATA = {
    "num_lines": 12_541,
    "num_rejected": 3,
    "rejected_by_reason": {"Time is not an integer": 2, "ItemId is empty": 1},
    "findings": {"duplicates": 0, "ties": 12, "cut_files": 1, "long_sessions": 1},
    "funnel": {
        "read": 12_541,
        "dropped": {
            "rejected: Time is not an integer": 2,
            "rejected: ItemId is empty": 1,
            "event type: [red]\x1b": 2_397,
        },
        "kept": {"train": 8_141, "valid": 1_000, "test": 1_000},
    },
    "splits": {
        "train": {"num_events": 8_141, "num_sessions": 2_000, "num_items": 300, "first_time": 0, "last_time": 999},
        "valid": {"num_events": 0, "num_sessions": 0, "num_items": 0, "first_time": None, "last_time": None},
    },
}


def printed(document, show):
    stream = io.StringIO()
    show(document, Console(file=stream, width=120))
    return " ".join(stream.getvalue().split())


def test_the_funnel_accounts_for_every_line_and_obeys_no_event_type():
    funnel = DATA["funnel"]
    assert funnel["read"] == sum(funnel["dropped"].values()) + sum(funnel["kept"].values())
    assert printed(DATA, print_funnel) == (
        "events read 12,541 100.0% - rejected: Time is not an integer 2 0.0% - rejected: ItemId is empty 1 0.0% "
        r"- event type: [red]\x1b 2,397 19.1% train 8,141 64.9% valid 1,000 8.0% test 1,000 8.0%"
    )


def test_the_splits_have_sizes_and_times():
    text = printed(DATA, print_splits)
    assert "│ events │ 8,141 │ 0 │ │ sessions │ 2,000 │ 0 │ │ items │ 300 │ 0 │" in text
    assert "│ last event │ 1970-01-01 00:00 │ │" in text


def test_what_was_found_is_said_in_words_and_what_was_not_is_left_out():
    assert printed(DATA, print_findings) == (
        "3 of 12,541 lines were rejected: 2 x Time is not an integer, 1 x ItemId is empty. "
        "12 sessions have events at equal times. "
        "1 file has no newline after its last line, which may be incomplete. "
        "1 session has more events than max_session_events."
    )
    nothing = {**DATA, "num_rejected": 0, "findings": dict.fromkeys(FINDINGS, 0)}
    assert printed(nothing, print_findings) == ""


@pytest.mark.parametrize(
    ("formats", "text"),
    [
        ({"seconds since 1970": 5}, "Times were read as seconds since 1970."),
        (
            {"seconds since 1970": 2_000, "ISO 8601 with time zone": 1},
            "Times were read as 2,000 x seconds since 1970, 1 x ISO 8601 with time zone.",
        ),
    ],
)
def test_how_times_were_read_is_said(formats, text):
    found = {**DATA, "num_rejected": 0, "findings": {}, "time_formats": formats}
    assert printed(found, print_findings) == text


@pytest.mark.parametrize("count", [1, 2_000])
def test_each_finding_has_its_words(count):
    assert set(FOUND) <= FINDINGS.keys()
    for name in FINDINGS:
        text = printed({**DATA, "num_rejected": 0, "findings": {name: count}}, print_findings)
        assert text.startswith(f"{count:,} ")
        assert text.endswith(".")


ITEMS = [("é漢😀", 1.5), ("\x1b[31mred\u202e", 0.25), ("tab\tnewline\nreturn\r", -1.0)]


def test_a_pipe_gets_the_ids_as_they_are_a_line_each():
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_items(ITEMS, pipe)
    assert pipe.buffer.getvalue() == (
        "é漢😀\t1.500000\n\x1b[31mred\u202e\t0.250000\ntab\\tnewline\\nreturn\r\t-1.000000\n".encode()
    )


@pytest.mark.parametrize(("encoding", "first"), [("utf-8", "é漢😀"), ("latin-1", "é\\u6f22\\U0001f600")])
def test_a_terminal_gets_no_character_that_it_would_obey(encoding, first):
    master, slave = os.openpty()
    with os.fdopen(slave, "w", encoding=encoding) as terminal:
        print_items(ITEMS, terminal)
        printed = b""
        while printed.count(b"\n") < len(ITEMS):  # each line is a write of its own
            printed += os.read(master, 1_000)
        lines = printed.decode(encoding).split("\r\n")
    os.close(master)
    assert lines == [
        f"{first}\t1.500000",
        r"\x1b[31mred\u202e" + "\t0.250000",
        r"tab\tnewline\nreturn\r" + "\t-1.000000",
        "",
    ]


def test_text_of_several_lines_keeps_them(capsys):
    say("one \x1b[2Jtwo\n\tthree\x07", err=True)
    assert capsys.readouterr().err == "one \\x1b[2Jtwo\n\tthree\\x07\n"


@pytest.mark.parametrize(("is_terminal", "printed"), [(True, "a\tb\\x1b[31m\\x07\nc"), (False, "a\tb\x07\nc")])
def test_a_log_commands_no_terminal_and_stays_as_it_is_in_a_file(is_terminal, printed):
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal
    print_log("a\tb\x1b[31m\x07\nc", stream)
    assert stream.getvalue() == printed


def test_small_splits_are_named_with_what_to_do():
    splits = {name: {"num_events": count} for name, count in (("train", 9), ("valid", 1), ("test", 99))}
    document = {**DATA, "num_rejected": 0, "splits": splits, "findings": {"small_splits": 2}}
    assert printed(document, print_findings) == (
        "2 splits are too small for metrics: valid has 1 event and test has 99 events; metrics on fewer than 100 "
        "events prove nothing. Look at the times of the first and last events, which two-tower check shows; if stray "
        "events lie after the end of a raw log, set as_of to that end."
    )
