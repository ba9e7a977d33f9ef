"""What was read of a log, on disk for the engine."""

from collections.abc import Iterator
from pathlib import Path

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.logs.clean_lines import last_bytes
from components.sessionize.engines import Engine
from components.sessionize.sessions import DAY_MS

NUM_SHARDS = 10  # by the last digit of a visitor that is a number
STAGED_EVENTS = 1 << 19  # that are written to them at a time
PART_EVENTS = 2_000_000  # at least, that are cut at a time
EVENT_NAMES = ["visitor", "item", "counts", "time"]


class StagedLog:
    """The accepted events as Parquet, where the engine reads them, in NUM_SHARDS by visitor.

    Where all ids of a batch are whole numbers in their shortest form, it is written with numbers instead of texts:
    they sort several times as fast and become the same texts again.

    Args:
        work_dir: where to write.
        event_types: the types of event that count.
    """

    def __init__(self, work_dir: Path, event_types: tuple[str, ...]) -> None:
        self.work_dir = work_dir
        self.event_types = pa.array(event_types)
        self.newest = 0
        self.largest = 0
        self.num_events = 0
        self.num_backward = 0
        self.writers: dict[bool, list[pq.ParquetWriter]] = {}
        self.waiting: list[pa.RecordBatch] = []

    def prepare(self, events: pa.RecordBatch) -> pa.RecordBatch:
        """Makes visitor, item, whether the event counts, and time of visitor, item, type and time."""
        visitor, item, event, time = events.columns
        if not (pa.types.is_integer(visitor.type) and pa.types.is_integer(item.type)):
            visitor, item = visitor.cast(pa.string()), item.cast(pa.string())
        counts = pc.is_in(event.cast(pa.string()), self.event_types)
        return pa.RecordBatch.from_arrays([visitor, item, counts, time], names=EVENT_NAMES)

    def add(self, events: pa.RecordBatch) -> None:
        """Takes what was prepared."""
        if not events.num_rows:
            return
        times = events["time"].to_numpy()
        self.newest = max(self.newest, int(times.max()))
        self.num_events += len(times)
        self.num_backward += int((times[1:] < times[:-1]).sum())
        if self.waiting and (
            self.waiting[0].schema != events.schema or sum(map(len, self.waiting)) + len(times) > STAGED_EVENTS
        ):
            self._write()
        self.waiting.append(events)

    def _write(self) -> None:
        events = pa.Table.from_batches(self.waiting).combine_chunks()
        self.waiting = []
        visitor = events["visitor"].chunk(0)
        is_whole = pa.types.is_integer(visitor.type)
        largest = max(pc.max(events[name]).as_py() for name in ("visitor", "item")) if is_whole else 2**63
        self.largest = max(self.largest, largest)
        if is_whole not in self.writers:
            self.writers[is_whole] = [
                pq.ParquetWriter(
                    self._path(is_whole, str(shard)), events.schema, compression="none", use_dictionary=not is_whole
                )
                for shard in range(NUM_SHARDS)
            ]
        # The byte of "0" is 48, so a visitor comes to the same shard as a number and as a text.
        last_digit = visitor.to_numpy() if is_whole else last_bytes(visitor) - ord("0")
        shard = (last_digit % NUM_SHARDS).astype(np.uint8)
        events = events.take(pa.array(np.argsort(shard, kind="stable")))
        ends = np.cumsum(np.bincount(shard, minlength=NUM_SHARDS)).tolist()
        for writer, begin, end in zip(self.writers[is_whole], [0, *ends], ends, strict=False):
            writer.write_table(events.slice(begin, end - begin))

    def read(self, engine: Engine, *, end_ms: int, window_days: int) -> Iterator[ir.Table]:
        """The events up to `end_ms` and after the begin of the window, if it has one; no visitor is in two tables."""
        self._write()
        pa.default_memory_pool().release_unused()
        for writers in self.writers.values():
            for writer in writers:
                writer.close()
        num_parts = min(NUM_SHARDS, -(-self.num_events // PART_EVENTS))
        for part in range(num_parts):
            first, last = part * NUM_SHARDS // num_parts, (part + 1) * NUM_SHARDS // num_parts - 1
            shards = f"[{first}-{last}]"
            tables = {is_whole: engine.read(self._path(is_whole, shards)) for is_whole in self.writers}
            if len(tables) > 1:
                whole, other = tables[True], tables[False]
                events = whole.mutate(visitor=whole.visitor.cast("string"), item=whole.item.cast("string")).union(other)
            else:
                [events] = tables.values()
            if self.largest < 2**31:  # which is never so where there are texts
                events = events.mutate(visitor=events.visitor.cast("int32"), item=events.item.cast("int32"))
            events = events.filter(events.time <= end_ms)
            yield events.filter(events.time > end_ms - window_days * DAY_MS) if window_days else events

    def _path(self, is_whole: bool, shard: str) -> Path:
        return self.work_dir / f"{'whole' if is_whole else 'text'}-{shard}.parquet"
