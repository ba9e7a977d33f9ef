"""Records which lines or rows are rejected, and why."""

import numpy as np
import pyarrow as pa

from components.core.logs.texts import Longs, Mask, Positions

FOUND_SCHEMA = pa.schema(
    [("line", pa.int64()), ("reason", pa.dictionary(pa.int32(), pa.string())), ("text", pa.string())]
)


class Checks:
    """The first reason to reject each line of a block. A line that has not been rejected is open."""

    def __init__(self, num_lines: int) -> None:
        self.num_lines = num_lines
        self.open: Positions | slice = slice(None)
        self.reasons: list[str] = []
        self.codes = np.zeros(num_lines, np.uint8)  # 0 for an open line, else the index of the reason + 1

    def open_lines(self) -> Positions:
        """Positions of the open lines."""
        if isinstance(self.open, slice):
            return np.arange(self.num_lines, dtype=np.int32)
        return self.open

    def rejected_lines(self) -> Positions:
        """Positions of the rejected lines."""
        return np.flatnonzero(self.codes).astype(np.int32)

    def reject(self, failed: Mask, reason: str) -> None:
        """Rejects the open lines that a mask [num_lines] selects."""
        if failed.any():
            self.reject_open(failed[self.open], reason)

    def reject_open(self, failed: Mask, reason: str) -> None:
        """Rejects the lines that a mask [num_open] over the open lines selects."""
        if failed.any():
            lines = self.open_lines()
            if reason not in self.reasons:
                self.reasons.append(reason)
            self.codes[lines[failed]] = self.reasons.index(reason) + 1
            self.open = lines[~failed]

    def reject_each(self, failed: list[tuple[str, Mask]]) -> Mask:
        """Rejects the lines that disjoint masks [num_open] over the open lines select; returns the mask of the rest."""
        kept = np.ones(len(self.open_lines()), np.bool_)
        for reason, mask in failed:
            self.reject_open(mask[kept], reason)
            kept &= ~mask
        return kept

    def to_rejected(self, texts: pa.StringArray, numbers: Longs | None = None) -> pa.RecordBatch:
        """The rejected lines and their texts in FOUND_SCHEMA.

        Args:
            texts: [num_rejected] text of each rejected line.
            numbers: [num_lines] number of each line in the block; by default, they are numbered from 0.
        """
        lines = self.rejected_lines()
        reasons = pa.DictionaryArray.from_arrays(
            pa.array(self.codes[lines].astype(np.int32) - 1), pa.array(self.reasons, pa.string())
        )
        found = lines.astype(np.int64) if numbers is None else numbers[lines]
        return pa.RecordBatch.from_arrays([pa.array(found), reasons, texts], schema=FOUND_SCHEMA)
