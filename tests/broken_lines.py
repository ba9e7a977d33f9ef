"""Broken logs, and a second reading of them that shares no code with the first: the oracle of the fuzzers."""

import random
from pathlib import Path

from components.core.logs.columns import LogColumns, LogForm
from components.core.logs.files import find_files
from components.core.logs.reader import read_log

HEADER = b"SessionId\tItemId\tTime\n"
COLUMNS = LogColumns(text=("SessionId", "ItemId"), time="Time", form=LogForm(time_format="milliseconds"))
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

Accepted = list[tuple[int, str, str, int]]
Rejected = list[tuple[int, str, str]]


def read(path: Path) -> tuple[Accepted, Rejected]:
    """Line, session, item, time of the accepted lines; line, reason and text of the others."""
    accepted: Accepted = []
    rejected: Rejected = []
    line = 1 if path.suffix == ".parquet" else 2
    for batch in read_log(find_files(str(path)), COLUMNS):
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


def read_by_hand(data: bytes) -> tuple[Accepted, Rejected]:
    """The same of a tab-separated file, a line at a time."""
    accepted: Accepted = []
    rejected: Rejected = []
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines[1:], start=2):
        line = line.removesuffix(b"\r")
        reason = reason_against(line)
        if reason:
            rejected.append((number, reason, line.decode(errors="backslashreplace").replace("\0", "\\x00")))
        else:
            session, item, time = line.decode().split("\t")
            accepted.append((number, session, item, int(time.partition(".")[0])))
    return accepted, rejected


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
    for name, text in zip(("SessionId", "ItemId"), fields, strict=False):
        if not text:
            return f"empty {name}"
        if len(text.encode()) > 256:
            return f"{name} of over 256 bytes"
    time = fields[2]
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


def mutate(data: bytes, seed: int) -> bytes:
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
            broken[at:at] = rng.choice(SPLICES)
        elif rng.random() < 0.3:
            del broken[at:]
    return bytes(broken)
