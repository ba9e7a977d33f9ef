"""Breaks a log in thousands of ways and compares its reading with a second one that shares no code with it.

    python tests/benchmarks/fuzz_log_reader.py
    python tests/benchmarks/fuzz_log_reader.py LOG.tsv --cases 20000

The log has the columns SessionId, ItemId and Time, separated by tabs; its first lines are used. Without one, lines are
generated.
"""

import argparse
import gzip
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

try:
    from broken_lines import HEADER, mutate, read, read_by_hand
except ModuleNotFoundError as error:
    raise SystemExit(f"This benchmark needs what `make install` installs. Received: {error}") from error


def outcome(path: Path, data: bytes, *, is_cut: bool) -> str:
    """What became of a broken log; anything but a correct reading or an error with a message raises."""
    try:
        accepted, rejected = read(path)
    except ValueError as error:
        if not is_cut or "Expected" not in str(error):
            raise
        return "refused with a message"
    if (accepted, rejected) != read_by_hand(data):
        raise AssertionError(f"read wrongly: {path}")
    return "read with rejected lines" if rejected else "read"


def main() -> None:
    """Runs the cases and counts their outcomes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path, nargs="?", help="By default lines are generated.")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--lines", type=int, default=60)
    arguments = parser.parse_args()
    lines = [b"%d\ti%d\t%d\n" % (row // 3, row % 7, 1_441_412_644_102 + row) for row in range(arguments.lines)]
    if arguments.log:
        with arguments.log.open("rb") as stream:
            lines = [stream.readline() for _ in range(arguments.lines + 1)][1:]
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.cases):
            data = HEADER + mutate(b"".join(lines), seed)
            is_cut = seed % 10 == 0
            path = Path(folder) / ("log.tsv.gz" if is_cut else "log.tsv")
            # Every tenth is compressed and its end cut off, somewhere.
            packed = gzip.compress(data, 1)
            path.write_bytes(packed[: 1 + seed * 7919 % len(packed)] if is_cut else data)
            outcomes[outcome(path, data, is_cut=is_cut)] += 1
    for name, count in outcomes.most_common():
        print(f"{count:7,} {name}")


if __name__ == "__main__":
    main()
