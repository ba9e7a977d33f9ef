"""Stages the accepted events of a log on disk for the engine."""

from collections import Counter
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.intake.funnel import OTHER_TYPES, describe_counts, name_types
from components.core.logs.clean_lines import sum_bytes
from components.core.presentation import list_names

NUM_SHARDS = 32  # so that memory can hold each shard three times
STAGED_EVENTS = 1 << 18  # number of events that are written to the shards at a time
STAGED_BYTES = 1 << 28
PART_EVENTS = 2_000_000  # number of events that are cut into sessions at a time
EVENT_NAMES = ["visitor", "item", "counts", "time"]
MAX_TYPES = 1000  # number of event types that are counted one by one, as a column of another kind may be named
ID_TYPES = (pa.int32(), pa.int64(), pa.string())  # each type represents all values of the types before it


class StagedLog:
    """The accepted events as Parquet files, in NUM_SHARDS shards by visitor.

    If all ids of a batch are integers in canonical form (the shortest decimal text), they are written as integers.
    These sort several times as fast and convert back to the same texts.

    Args:
        work_dir: folder for the files.
        event_types: event types to keep.
        has_file_order: whether to stage the position of each event in the log, in the column `row`.
    """

    def __init__(self, work_dir: Path, event_types: tuple[str, ...], *, has_file_order: bool = False) -> None:
        self.work_dir = work_dir
        self.event_types = event_types
        self.names = [*EVENT_NAMES, "row"] if has_file_order else EVENT_NAMES
        self.newest = 0
        self.num_events = 0
        self.num_backward = 0
        self.num_by_type: Counter[str] = Counter()
        self.lock = Lock()  # of num_by_type, because `prepare` runs in several threads
        self.writers: dict[pa.DataType, list[pq.ParquetWriter]] = {}
        self.waiting: list[pa.RecordBatch] = []

    def prepare(self, events: pa.RecordBatch) -> pa.RecordBatch:
        """Converts visitor, item, type and time to EVENT_NAMES; `counts` is whether the event type is kept.

        Events without a type are all kept.
        """
        visitor, item, *types, time = events.columns
        counts = self._count_types(types[0]) if types else pa.array(np.ones(len(time), np.bool_))
        id_type = next(kind for kind in ID_TYPES if _holds(kind, visitor) and _holds(kind, item))
        ids = [visitor.cast(id_type), item.cast(id_type)]
        return pa.RecordBatch.from_arrays([*ids, counts, time], names=EVENT_NAMES)

    def _count_types(self, types: pa.Array) -> pa.BooleanArray:
        """Counts the events of each type; returns whether the type of each event is kept [num_events]."""
        types = types.cast(pa.string())
        are_kept = pc.is_in(types, pa.array(self.event_types))
        # A single type to keep has all events that are left, so only the few others are counted by name.
        is_single = len(self.event_types) == 1
        counts = (types.filter(pc.invert(are_kept)) if is_single else types).value_counts().to_pylist()
        with self.lock:
            for name, count in (each.values() for each in counts):
                is_named = name in self.num_by_type or name in self.event_types or len(self.num_by_type) < MAX_TYPES
                self.num_by_type[name if is_named else OTHER_TYPES] += count
            if is_single:
                self.num_by_type[self.event_types[0]] += are_kept.true_count
        return are_kept

    @property
    def other_types(self) -> dict[str, int]:
        """Labels of the event types that are not kept, for the funnel, and their number of events."""
        others = {name: count for name, count in self.num_by_type.items() if name not in self.event_types}
        return name_types(others)

    def count_missing_types(self) -> int:
        """Number of event types to keep that do not occur in the log; 0 if the log has no types.

        Raises:
            ValueError: none of them occurs.
        """
        missing = [name for name in self.event_types if not self.num_by_type[name]]
        if not self.num_by_type.total():
            return 0
        if len(missing) == len(self.event_types):
            raise ValueError(
                f"Expected events of the types in event_types. Received: none of the "
                f"{self.num_by_type.total():,} events is of type {list_names(missing)}; there are {self.describe()}"
            )
        return len(missing)

    def describe(self) -> str:
        """The event types and their number of events, the most frequent first."""
        return describe_counts({name: count for name, count in self.num_by_type.most_common() if count})

    def add(self, events: pa.RecordBatch) -> None:
        """Adds events that `prepare` returned."""
        if not events.num_rows:
            return
        times = events["time"].to_numpy()
        self.newest = max(self.newest, int(times.max()))
        if len(self.names) > len(EVENT_NAMES):
            rows = pa.array(np.arange(self.num_events, self.num_events + len(times)))
            events = pa.RecordBatch.from_arrays([*events.columns, rows], names=self.names)
        self.num_events += len(times)
        self.num_backward += int((times[1:] < times[:-1]).sum())
        if self.waiting and self.waiting[0].schema != events.schema:
            self._write()
        self.waiting.append(events)
        if sum(map(len, self.waiting)) >= STAGED_EVENTS or sum(each.nbytes for each in self.waiting) >= STAGED_BYTES:
            self._write()

    def close(self) -> list[list[Path]]:
        """Closes the shards and returns them in parts. All ids have one type; each visitor is in one shard."""
        if self.waiting:
            self._write()
        pa.default_memory_pool().release_unused()
        widest = max(self.writers, key=ID_TYPES.index)
        narrower = [writer for id_type, writers in self.writers.items() if id_type != widest for writer in writers]
        for writer in narrower:
            writer.close()
            for events in pq.ParquetFile(writer.where).iter_batches(STAGED_EVENTS):
                self._write_shards(pa.Table.from_batches([events]).cast(self._schema(widest)))
            Path(writer.where).unlink()
        for writer in self.writers[widest]:
            writer.close()
        shards = [Path(writer.where) for writer in self.writers[widest]]
        size = -(-NUM_SHARDS // max(1, self.num_events // PART_EVENTS))
        return [shards[first : first + size] for first in range(0, NUM_SHARDS, size)]

    def _write(self) -> None:
        events = pa.Table.from_batches(self.waiting)
        self.waiting = []
        id_type = events.schema.field("visitor").type
        if id_type not in self.writers:
            self.writers[id_type] = [
                pq.ParquetWriter(
                    self.work_dir / f"{id_type}-{shard}.parquet",
                    self._schema(id_type),
                    compression="none",
                    write_statistics=False,
                    use_dictionary=["item"] if pa.types.is_string(id_type) else False,
                )
                for shard in range(NUM_SHARDS)
            ]
        self._write_shards(events)

    def _schema(self, id_type: pa.DataType) -> pa.Schema:
        types = [id_type, id_type, pa.bool_(), pa.int64(), pa.int64()]
        return pa.schema(zip(self.names, types, strict=False))

    def _write_shards(self, events: pa.Table) -> None:
        visitor = events["visitor"].combine_chunks()
        shard = _shards(visitor)
        events = events.take(pa.array(np.argsort(shard, kind="stable")))
        ends = np.cumsum(np.bincount(shard, minlength=NUM_SHARDS)).tolist()
        for writer, begin, end in zip(self.writers[visitor.type], [0, *ends], ends, strict=False):
            writer.write_table(events.slice(begin, end - begin))


def _holds(id_type: pa.DataType, ids: pa.Array) -> bool:
    if not pa.types.is_integer(ids.type):
        return bool(pa.types.is_string(id_type))
    return id_type != pa.int32() or bool(ids.to_numpy().max(initial=0) < 2**31)


def _shards(visitor: pa.Array) -> npt.NDArray[np.uint8]:
    """Shard [num_events] of each visitor: a hash of integers, or the sum of the bytes of texts."""
    if pa.types.is_integer(visitor.type):
        # Fibonacci hashing, Knuth, The Art of Computer Programming, volume 3, section 6.4.
        hashes = (visitor.to_numpy().astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    else:
        hashes = sum_bytes(visitor)
    shards: npt.NDArray[np.uint8] = (hashes % np.uint64(NUM_SHARDS)).astype(np.uint8)
    return shards
