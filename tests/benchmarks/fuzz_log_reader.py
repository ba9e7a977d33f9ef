"""Breaks logs in thousands of ways and compares their reading with a second one that shares no code with it.

    python tests/benchmarks/fuzz_log_reader.py
    python tests/benchmarks/fuzz_log_reader.py LOG.tsv --cases 20000

The cases go by turns through TSV with times in milliseconds, seconds and ISO 8601, CSV with quotes, and JSON lines.
A log has the columns SessionId, ItemId and Time in milliseconds, separated by tabs; its first lines are used. Without
one, lines are generated.
"""

import argparse
import gzip
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

try:
    from broken_lines import (
        COLUMNS,
        HEADER,
        SPLICES,
        judge_iso,
        judge_seconds,
        mutate,
        read,
        read_by_hand,
        read_events,
        read_json_by_hand,
        read_quoted_by_hand,
    )

    from components.core.logs.columns import LogColumns, LogForm
except ModuleNotFoundError as error:
    raise SystemExit(f"This benchmark needs what `make install` installs. Received: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of log.

    Attributes:
        suffix: suffix of the file.
        header: its first line.
        line: writes a line from session, item and time in milliseconds.
        judge: reads the file by hand.
        read: reads the file with the reader.
        splices: what is spliced in, beside SPLICES.
        time_format: the parameter of that name.
    """

    suffix: str
    header: bytes
    line: Callable[[str, str, int], str]
    judge: Callable[[bytes], object]
    read: Callable[[Path, LogColumns], object]
    splices: tuple[bytes, ...] = ()
    time_format: str = "milliseconds"


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


KINDS = [
    Kind(
        suffix=".tsv", header=HEADER, line=lambda *values: "{}\t{}\t{}\n".format(*values), judge=read_by_hand, read=read
    ),
    Kind(
        suffix=".tsv",
        header=HEADER,
        line=lambda session, item, ms: f"{session}\t{item}\t{ms // 1000}.{ms % 1000:03}\n",
        judge=lambda data: read_by_hand(data, judge_seconds),
        read=read,
        time_format="seconds",
    ),
    Kind(
        suffix=".tsv",
        header=HEADER + b"s\ti\t2015-05-03T03:37:36Z\n",
        line=lambda session, item, ms: f"{session}\t{item}\t{_iso(ms)}\n",
        judge=lambda data: read_by_hand(data, judge_iso),
        read=read,
        splices=(b":", b"-", b" UTC", b"Z", b"+02:00", b"T", b"2015-02-30"),
        time_format="iso",
    ),
    Kind(
        suffix=".csv",
        header=HEADER.replace(b"\t", b","),
        line=lambda session, item, ms: f'"{session}","{item}",{ms}\n',
        judge=read_quoted_by_hand,
        read=read_events,
        splices=(b",", b'""', b'",', b',"', b'"\n'),
    ),
    Kind(
        suffix=".jsonl",
        header=b'{"SessionId":1,"ItemId":2,"Time":3}\n',
        line=lambda session, item, ms: f'{{"SessionId":{session},"ItemId":"{item}","Time":{ms}}}\n',
        judge=read_json_by_hand,
        read=read_events,
        splices=(b"{", b"}", b"}\n{", b"\\", b",", b'"Time":', b"null"),
    ),
]


def outcome(path: Path, data: bytes, kind: Kind, *, is_cut: bool) -> str:
    """What became of a broken log; anything but a correct reading or an error with a message raises."""
    try:
        accepted, rejected = kind.read(path, replace(COLUMNS, form=LogForm(time_format=kind.time_format)))
    except ValueError as error:
        if not is_cut or "Expected" not in str(error):
            raise
        return "refused with a message"
    if (accepted, rejected) != kind.judge(data):
        raise AssertionError(f"read wrongly: {data!r}")
    return "read with rejected lines" if rejected else "read"


def main() -> None:
    """Runs the cases and counts their outcomes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path, nargs="?", help="By default lines are generated.")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--lines", type=int, default=60)
    arguments = parser.parse_args()
    events = [(f"{row // 3}", f"i{row % 7}", 1_441_412_644_102 + row) for row in range(arguments.lines)]
    if arguments.log:
        with arguments.log.open() as stream:
            rows = [stream.readline().split("\t")[:3] for _ in range(arguments.lines + 1)][1:]
        events = [(session, item, int(time)) for session, item, time in rows]
    clean = ["".join(kind.line(*event) for event in events).encode() for kind in KINDS]
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.cases):
            number = seed % len(KINDS)
            kind = KINDS[number]
            data = kind.header + mutate(clean[number], seed, [*SPLICES, *kind.splices])
            # Some are compressed and their end is cut off, somewhere.
            is_cut = seed % 11 == 0
            path = Path(folder) / f"log{kind.suffix}"
            packed = gzip.compress(data, 1)
            path.write_bytes(packed[: 1 + seed * 7919 % len(packed)] if is_cut else data)
            outcomes[f"{kind.suffix} {kind.time_format}: {outcome(path, data, kind, is_cut=is_cut)}"] += 1
    for name, count in sorted(outcomes.items()):
        print(f"{count:7,} {name}")


if __name__ == "__main__":
    main()
