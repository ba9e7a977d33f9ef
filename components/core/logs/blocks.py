"""What is read from a file of a log, and the blocks in which it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from components.core.logs.texts import Longs
from components.core.logs.times import Failed, TimeFormat

Ids: TypeAlias = pa.StringArray | pa.Int64Array


@dataclass(frozen=True, kw_only=True)
class FileColumns:
    """The columns to read from one file.

    Attributes:
        text: names of the text columns that the file contains.
        time: name of the time column.
        time_offset: name of the column with milliseconds to add to the time; empty for none.
        time_format: format of the times.
        max_id_bytes: maximum length of a text in bytes.
        constants: values of the columns that the folders of the path give, by name.
        missing: names of the optional columns that the file lacks.
    """

    text: tuple[str, ...]
    time: str
    time_offset: str = ""
    time_format: TimeFormat = field(default_factory=TimeFormat)
    max_id_bytes: int = 256
    constants: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def in_file(self) -> tuple[str, ...]:
        """Names of the columns to read from the file: texts, time, time offset."""
        names = (*self.text, self.time, *([self.time_offset] if self.time_offset else []))
        return tuple(name for name in names if name not in self.constants)

    def parse_times(self, read: Callable[[str], pa.StringArray]) -> tuple[Longs, Failed]:
        """Parses the times and adds their offsets.

        Args:
            read: returns the texts [num_times] of a column by its name.

        Returns:
            Milliseconds since 1970 [num_times], and the reasons, with disjoint masks [num_times], of those that failed.
        """
        times, failed = self.time_format.parse(read(self.time), self.time)
        if not self.time_offset:
            return times, failed
        offsets, wrong = TimeFormat().parse(read(self.time_offset), self.time_offset)
        return self.add_offsets(times, failed, offsets, wrong)

    def add_offsets(self, times: Longs, failed: Failed, offsets: Longs, wrong: Failed) -> tuple[Longs, Failed]:
        """Adds offsets to times; both come with the reasons and disjoint masks of the values that failed."""
        times, bad = times + offsets, np.zeros(len(times), np.bool_)
        found: Failed = []
        for reason, mask in failed + wrong:
            found.append((reason, mask & ~bad))
            bad |= mask
        late = [(reason, mask & ~bad) for reason, mask in self.time_format.check(times, self.time)]
        return times, [(reason, mask) for reason, mask in found + late if mask.any()]


@dataclass(frozen=True, kw_only=True)
class Block:
    """The events of one block of a file, either accepted or rejected.

    Attributes:
        num_rows: number of accepted and rejected events.
        num_lines: number of lines that the block has in the file, or of rows in Parquet.
        ids: one column [num_accepted] per text column: strings, or int64 if all texts are integers in canonical form
            (the shortest decimal text).
        times: [num_accepted] int64 milliseconds since 1970.
        rejected: the rejected events in `checks.FOUND_SCHEMA`, with lines numbered from 0, or None.
    """

    num_rows: int
    num_lines: int
    ids: list[Ids]
    times: pa.Int64Array
    rejected: pa.RecordBatch | None
