"""Broken logs, and a second reading of them that shares no code with the first: the oracle of the fuzzers."""

import json
import random
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

from components.core.logs.columns import LogColumns, LogForm
from components.core.logs.files import find_files
from components.core.logs.reader import read_log

HEADER = b"SessionId\tItemId\tTime\n"
MILLISECONDS = LogForm(time_format="milliseconds")  # for logs whose times are small numbers
COLUMNS = LogColumns(text=("SessionId", "ItemId"), time="Time", form=MILLISECONDS)
SPLICES = [
    b"\0",
    b"\xff",
    b"\xc3",
    b"\t",
    b"\t\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"",
    b"-",
    b"e5",
    b".0",
    b" ",
    b"+",
    b"0",
    b"0x",
    b"0x7FFFFFFFFFFFFFFF",  # shorter than the number in decimal digits
    b"9" * 19,
    b"9" * 20,
    b'"',
]

Judge = Callable[[str], tuple[str, int]]
Accepted = list[tuple[int, str, str, int]]
Rejected = list[tuple[int, str, str]]


def read(path: Path, columns: LogColumns = COLUMNS) -> tuple[Accepted, Rejected]:
    """Line, session, item, time of the accepted lines; line, reason and text of the others."""
    accepted: Accepted = []
    rejected: Rejected = []
    line = 1 if path.suffix == ".parquet" else 2
    for batch in read_log(find_files(str(path)), columns):
        bad = {each["line"]: each for each in batch.rejected.to_pylist()} if batch.rejected else {}
        rows = iter(zip(*(column.to_pylist() for column in batch.events.columns), strict=True))
        for number in range(line, line + batch.num_lines):
            if number in bad:
                rejected.append((number, bad[number]["reason"], bad[number]["text"]))
            else:
                session, item, time = next(rows)
                accepted.append((number, str(session), str(item), time))
        assert next(rows, None) is None
        line += batch.num_lines
    return accepted, rejected


def read_events(path: Path, columns: LogColumns) -> tuple[list[tuple[str, str, int]], Rejected]:
    """Session, item, time of the accepted events in their order; line, reason and text of the rejected ones."""
    accepted = []
    rejected: Rejected = []
    for batch in read_log(find_files(str(path)), columns):
        for session, item, time in zip(*(column.to_pylist() for column in batch.events.columns), strict=True):
            accepted.append((str(session), str(item), time))
        for each in batch.rejected.to_pylist() if batch.rejected else []:
            rejected.append((each["line"], each["reason"], each["text"]))
        assert batch.num_lines == batch.events.num_rows + (batch.rejected.num_rows if batch.rejected else 0)
    return accepted, rejected


def show(text: bytes) -> str:
    """The text of a rejected line."""
    return text.decode(errors="backslashreplace").replace("\0", "\\x00")


def read_quoted_by_hand(data: bytes) -> tuple[list[tuple[str, str, int]], Rejected]:
    """The same of a comma-separated file with quotes (RFC 4180), a byte at a time."""
    accepted = []
    rejected: Rejected = []
    begin, line = data.index(b"\n") + 1, 2
    while begin < len(data):
        fields, end = take_record(data, begin)
        if fields is None:
            end = data.find(b"\n", begin) + 1 or len(data)
        record = data[begin:end]
        text = record.removesuffix(b"\n").removesuffix(b"\r")
        reason = reason_against_fields(text, fields)
        if reason:
            rejected.append((line, reason, show(text)))
        else:
            session, item, time = (field.decode() for field in fields)
            accepted.append((session, item, int(time.partition(".")[0])))
        line += record.count(b"\n")
        begin = end
    return accepted, rejected


def take_record(data: bytes, begin: int) -> tuple[list[bytes] | None, int]:
    """Fields and end of the record at `begin`; None for the fields if a quote is where it must not be."""
    fields, field, state = [], b"", "start"
    for at in range(begin, len(data)):
        byte = data[at : at + 1]
        is_end = byte == b"\n" or (byte == b"\r" and data[at + 1 : at + 2] in (b"\n", b""))
        if state == "quoted":
            state, field = ("after", field) if byte == b'"' else (state, field + byte)
        elif byte == b'"' and state in ("start", "after"):
            field, state = (field + byte if state == "after" else field), "quoted"
        elif byte == b'"' or (state == "after" and byte != b"," and not is_end):
            return None, 0
        elif is_end:
            return [*fields, field], (data.find(b"\n", at) + 1 or len(data))
        elif byte == b",":
            fields.append(field)
            field, state = b"", "start"
        else:
            field, state = field + byte, "plain"
    return (None, 0) if state == "quoted" else ([*fields, field], len(data))


def reason_against_fields(text: bytes, fields: list[bytes] | None) -> str:
    """Why a record is to be rejected; empty if it is not."""
    if not text:
        return "blank line"
    if b"\0" in text:
        return "NUL byte"
    try:
        text.decode()
    except UnicodeDecodeError:
        return "invalid UTF-8"
    if fields is None:
        return "quote inside of a field"
    if len(fields) != 3:
        return "wrong number of fields, not 3"
    return reason_against_values(*(field.decode() for field in fields))


def read_json_by_hand(data: bytes) -> tuple[list[tuple[str, str, int]], Rejected]:
    """The same of JSON lines, a line at a time."""
    accepted = []
    rejected: Rejected = []
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), start=1):
        line = line.removesuffix(b"\r")
        reason, values = judge_json(line)
        if reason:
            rejected.append((number, reason, show(line)))
        else:
            accepted.append((values[0], values[1], int(values[2].partition(".")[0])))
    return accepted, rejected


def judge_json(line: bytes) -> tuple[str, list[str]]:
    """Why a line of JSON is to be rejected, and otherwise its session, item and time."""
    if not line:
        return "blank line", []
    twice = []

    def pairs_to_dict(pairs):
        names = [name for name, _ in pairs]
        twice.append([name for name in ("SessionId", "ItemId", "Time") if names.count(name) > 1])
        return dict(pairs)

    try:
        document = json.loads(
            line.decode(),
            parse_int=lambda text: ("number", text),
            parse_float=lambda text: ("fraction", text),
            parse_constant=lambda text: ("constant", text),
            object_pairs_hook=pairs_to_dict,
        )
    except UnicodeDecodeError:
        return "invalid UTF-8", []
    except ValueError:
        return "invalid JSON", []
    if not isinstance(document, dict):
        return "no JSON object", []
    values = []
    for name in ("SessionId", "ItemId", "Time"):
        if name in twice[-1]:
            return f"the key {name} twice", []
        value = document.get(name, "")
        kinds = ("number", "fraction") if name == "Time" else ("number",)
        if isinstance(value, tuple) and value[0] in kinds:
            value = value[1]
        elif value is None:
            value = ""
        elif not isinstance(value, str):
            return f"{name} is neither text nor a whole number", []
        values.append(value)
    for value in values[:2]:
        if "\0" in value:
            return "NUL byte", []
        if any("\ud800" <= each <= "\udfff" for each in value):
            return "invalid UTF-8", []
        if reason := reason_against_id("SessionId" if value is values[0] else "ItemId", value):
            return reason, []
    return reason_against_time(values[2]), values


def judge_milliseconds(text: str) -> tuple[str, int]:
    """Why a time in milliseconds is to be rejected, and otherwise the time in milliseconds."""
    reason = reason_against_time(text)
    return reason, 0 if reason else int(text.partition(".")[0])


def judge_seconds(text: str) -> tuple[str, int]:
    """The same of a time in seconds."""
    reason = reason_against_time(text).replace("milliseconds", "seconds")
    if reason and not reason.startswith("Time is beyond"):
        return reason, 0
    exact = Fraction(text) * 1000
    late = int(text.partition(".")[0]) * 1000 >= 7_289_654_400_000 or round(exact) >= 7_289_654_400_000
    return ("Time is beyond the year 2200", 0) if late else ("", int(exact + Fraction(1, 2)))


ISO_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z| UTC|([+-])(\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)


def judge_iso(text: str) -> tuple[str, int]:
    """The same of an ISO 8601 time with time zone."""
    wrong = "Time is not a time with time zone such as 2015-05-01T01:41:00Z", 0
    if not text:
        return "empty Time", 0
    match = ISO_TIME.fullmatch(text)
    if match is None or not match[8] or (match[9] and (int(match[10]) > 23 or int(match[11] or 0) > 59)):
        return wrong
    try:
        time = datetime(*(int(match[place] or 0) for place in range(1, 7)), tzinfo=UTC)
    except ValueError:
        return wrong
    minutes = int(f"{match[9]}1") * (int(match[10]) * 60 + int(match[11] or 0)) if match[9] else 0
    ms = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) - minutes * 60_000
    ms += int((match[7] or "0").ljust(9, "0")) // 1_000_000
    if ms < 0:
        return "Time is before 1970", 0
    return ("Time is beyond the year 2200", 0) if ms >= 7_289_654_400_000 else ("", ms)


def read_by_hand(data: bytes, judge: Judge = judge_milliseconds) -> tuple[Accepted, Rejected]:
    """The same as `read` of a tab-separated file, a line at a time."""
    accepted: Accepted = []
    rejected: Rejected = []
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines[1:], start=2):
        line = line.removesuffix(b"\r")
        reason, values = judge_line(line, judge)
        if reason:
            rejected.append((number, reason, show(line)))
        else:
            accepted.append((number, *values))
    return accepted, rejected


def judge_line(line: bytes, judge: Judge) -> tuple[str, tuple[str, str, int]]:
    """Why a line is to be rejected, and otherwise its session, item and time."""
    reason = reason_against(line)
    if reason and not reason.startswith("Time") and reason != "empty Time":
        return reason, ("", "", 0)
    session, item, time = line.decode().split("\t")
    reason, ms = judge(time)
    return reason, (session, item, ms)


def reason_against(line: bytes) -> str:
    """Why a line is to be rejected; empty if it is not."""
    if not line:
        return "blank line"
    if b"\0" in line:
        return "NUL byte"
    try:
        fields = line.decode().split("\t")
    except UnicodeDecodeError:
        return "invalid UTF-8"
    if len(fields) != 3:
        return "wrong number of fields, not 3"
    return reason_against_values(*fields)


def reason_against_values(session: str, item: str, time: str) -> str:
    """Why values are to be rejected; empty if they are not."""
    return reason_against_id("SessionId", session) or reason_against_id("ItemId", item) or reason_against_time(time)


def reason_against_id(name: str, text: str) -> str:
    """Why an id is to be rejected; empty if it is not."""
    if not text:
        return f"empty {name}"
    return f"{name} of over 256 bytes" if len(text.encode()) > 256 else ""


def reason_against_time(time: str) -> str:
    """Why a time in milliseconds is to be rejected; empty if it is not."""
    if not time:
        return "empty Time"
    whole, _, fraction = time.removeprefix("-").partition(".")
    digits = whole + fraction
    if not whole or ("." in time and not fraction) or not set(digits) <= set("0123456789"):
        return "Time is not a number of milliseconds"
    if time.startswith("-"):
        return "Time is negative"
    if len(whole) > 19:
        return "Time is not a number of milliseconds"
    return "Time is beyond the year 2200" if int(whole) >= 7_289_654_400_000 else ""


def mutate(data: bytes, seed: int, splices: Sequence[bytes] = SPLICES) -> bytes:
    """A few bytes flipped, cut out, doubled or spliced in, and perhaps the end cut off."""
    rng = random.Random(seed)  # noqa: S311
    broken = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(broken) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(broken):
            broken[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del broken[at : at + rng.randint(1, 30)]
        elif kind == 2:
            broken[at:at] = broken[at : at + rng.randint(1, 60)]
        elif kind == 3:
            broken[at:at] = rng.choice(splices)
        elif rng.random() < 0.3:
            del broken[at:]
    return bytes(broken)
