"""Counts the rejected lines of a log by reason, and writes them to a Parquet file."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

REJECTED_NAME = "rejected.parquet"
REJECTED_SCHEMA = pa.schema(
    [
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("line", pa.int64()),
        ("reason", pa.dictionary(pa.int32(), pa.string())),
        ("text", pa.string()),
    ]
)
ROW_GROUP_BYTES = 1 << 24


def locate(found: pa.RecordBatch, source: str, first_line: int) -> pa.RecordBatch:
    """Adds the file and the line numbers to the rejected lines of a block; returns them in REJECTED_SCHEMA.

    Args:
        found: rejected lines in `checks.FOUND_SCHEMA`.
        source: name of the file.
        first_line: line number, in the file, of the first line of the block.
    """
    sources = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(found), np.int32)), pa.array([source]))
    lines = pc.add(found["line"], first_line)
    return pa.RecordBatch.from_arrays([sources, lines, found["reason"], found["text"]], schema=REJECTED_SCHEMA)


class RejectedLines:
    """Counts rejected lines and writes them to a file.

    Args:
        path: the file to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_lines = 0
        self.reasons: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.waiting: list[pa.RecordBatch] = []
        self.writer = pq.ParquetWriter(
            path,
            REJECTED_SCHEMA,
            compression="zstd",
            use_dictionary=["source", "reason"],
            column_encoding={"line": "DELTA_BINARY_PACKED"},
            write_statistics=False,
            store_schema=False,  # so readers get strings instead of dictionaries
        )

    def add(self, rejected: pa.RecordBatch) -> None:
        """Adds rejected lines in REJECTED_SCHEMA."""
        self.num_lines += len(rejected)
        reasons = rejected["reason"]
        codes = reasons.indices.to_numpy()
        for code, count in enumerate(np.bincount(codes)):
            if not count:
                continue
            reason = reasons.dictionary[code].as_py()
            self.reasons[reason] += int(count)
            if reason not in self.examples:
                first = rejected.slice(int(np.argmax(codes == code)), 1).to_pylist()[0]
                self.examples[reason] = f"line {first['line']} of {first['source']}: {first['text'][:200]!r}"
        self.waiting.append(rejected)
        if sum(each.nbytes for each in self.waiting) >= ROW_GROUP_BYTES:
            self._write()

    def describe(self) -> str:
        """Describes the three most frequent reasons, with an example of each."""
        return "; ".join(
            f"{count:,} x {reason}, such as {self.examples[reason]}" for reason, count in self.reasons.most_common(3)
        )

    def close(self) -> None:
        """Closes the file; a second call has no effect."""
        if self.waiting:
            self._write()
        self.writer.close()

    def _write(self) -> None:
        self.writer.write_table(pa.Table.from_batches(self.waiting).unify_dictionaries())
        self.waiting = []
