"""Collects batches of events and sorts them into the order of the artifact, in memory or on disk."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.events import SCHEMA
from components.core.intake.ordering import BATCH_ROWS, Sample, SortedEvents, sort_in_memory, to_texts
from components.ingest.disk_ordering import STAGED, sort_on_disk

MAX_ROWS_IN_MEMORY = 16_000_000  # peak memory of 1 to 2 GiB


def encode_ids(events: pa.RecordBatch) -> pa.RecordBatch:
    """Encodes each run of equal session ids as one value, and item texts with a dictionary."""
    session, item, time = events.columns
    is_last = np.ones(len(session), np.bool_)
    is_last[:-1] = pc.not_equal(session[1:], session[:-1]).to_numpy(zero_copy_only=False)
    last = np.flatnonzero(is_last)
    session = pa.RunEndEncodedArray.from_arrays(pa.array(last + 1, pa.int32()), session.take(pa.array(last)))
    item = item if pa.types.is_integer(item.type) else item.dictionary_encode()
    return pa.RecordBatch.from_arrays([session, item, time], names=SCHEMA.names)


class EventSorter:
    """Collects events and returns them sorted.

    Up to `max_rows_in_memory` events are sorted in memory. More events spill to `spill_dir`, where DuckDB sorts them.

    Args:
        spill_dir: an existing folder with room for the events, which only this sorter uses.
        sample: sample of the events to keep; None for all.
        max_rows_in_memory: maximum number of events that are sorted in memory.
    """

    def __init__(
        self, spill_dir: Path, sample: Sample | None = None, *, max_rows_in_memory: int = MAX_ROWS_IN_MEMORY
    ) -> None:
        self.spill_dir = spill_dir
        self.sample = sample
        self.max_rows_in_memory = max_rows_in_memory
        self.num_rows = 0
        self.batches: list[pa.RecordBatch] = []
        self.writer: pq.ParquetWriter | None = None

    def add(self, events: pa.RecordBatch) -> None:
        """Adds events that `encode_ids` returned: session ids, item ids and times in milliseconds, in this order."""
        self.num_rows += events.num_rows
        self.batches.append(events.rename_columns(SCHEMA.names))
        num_waiting = self.num_rows if self.writer is None else sum(len(batch) for batch in self.batches)
        if num_waiting > (self.max_rows_in_memory if self.writer is None else BATCH_ROWS):
            self._spill()

    def _spill(self) -> None:
        if self.writer is None:
            self.writer = pq.ParquetWriter(self._staged_path, STAGED, compression="lz4", write_statistics=False)
        num_waiting = sum(len(batch) for batch in self.batches)
        row = self.num_rows - num_waiting
        for batch in self.batches:
            rows = pa.array(np.arange(row, row + len(batch)))
            session, item, time = batch.columns
            columns = [to_texts(pc.run_end_decode(session)), to_texts(item), time, rows]
            self.writer.write_batch(pa.RecordBatch.from_arrays(columns, names=STAGED.names).cast(STAGED))
            row += len(batch)
        self.batches = []

    @property
    def _staged_path(self) -> Path:
        return self.spill_dir / "staged.parquet"

    def sorted_batches(self) -> Iterator[SortedEvents]:
        """Yields the events in the order of the artifact; no session spans two batches."""
        if self.writer is not None:
            self._spill()
            self.writer.close()
            yield from sort_on_disk(self._staged_path, self.num_rows, self.sample)
        elif self.num_rows:
            batches, self.batches = self.batches, []
            yield from sort_in_memory(batches, self.sample)
