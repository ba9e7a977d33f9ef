"""Groups the events of a log, in any order, into sessions, on disk."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.literal_paths import escape_for_duckdb
from components.core.logs.files import LogFile
from components.core.logs.reader import read_log
from components.core.logs.rejected import RejectedLines
from components.core.machine import count_cpus
from components.core.progress import Progress
from components.recommend.parameters import RecommendParameters

MEMORY = "1GiB"  # memory limit of the sorting engine, which spills to disk beyond it
BATCH_ROWS = 1 << 16  # number of sorted events that are grouped at a time
STAGED = pa.schema([("session_id", pa.string()), ("item_id", pa.string()), ("time", pa.int64()), ("row", pa.int64())])
GROUPED = pa.schema([("session_id", pa.string()), ("item_ids", pa.list_(pa.string()))])

# Events with equal times are in the order of the files. Unlike `list(... ORDER BY ...)`, a sort spills to disk.
QUERY = "SELECT session_id, item_id FROM staged ORDER BY session_id, time, row"


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What was read.

    Attributes:
        num_lines: number of lines.
        num_rejected: number of rejected lines.
        num_other_types: number of events whose type does not count.
    """

    num_lines: int
    num_rejected: int
    num_other_types: int


def group_sessions(
    files: list[LogFile], work_dir: Path, sessions_path: Path, rejected_path: Path, parameters: RecommendParameters,
    *, part_sessions: int, part_events: int,
) -> Intake:  # fmt: skip
    """Writes one row per session, in ascending order of the session ids, and a row group per part.

    Args:
        files: the log.
        work_dir: folder for temporary files.
        sessions_path: Parquet file to write: `session_id`, and `item_ids`, a list with the newest
            `max_session_events` items, oldest first.
        rejected_path: Parquet file to write the rejected lines to.
        parameters: parameters of the step.
        part_sessions: maximum number of sessions in a part.
        part_events: maximum number of events in a part that has more than one session.

    Raises:
        OSError: the events cannot be sorted, for example because the disk is full.
        ValueError: a file cannot be read, too many lines were rejected, or the log has no events.
    """
    staged = work_dir / "events.parquet"
    intake = _stage(files, staged, rejected_path, parameters)
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "temp_directory": str(work_dir / "spill"),
        "threads": count_cpus(),
        "preserve_insertion_order": False,
    }
    with duckdb.connect(config=config) as connection, pq.ParquetWriter(sessions_path, GROUPED) as writer:
        connection.from_parquet(escape_for_duckdb(staged)).create_view("staged")
        try:
            events = connection.sql(QUERY).to_arrow_reader(BATCH_ROWS)
            for part in _cut(_group(events, parameters.max_session_events), part_sessions, part_events):
                writer.write_table(part)
        except duckdb.Error as error:
            raise OSError(f"The events could not be sorted in {work_dir}: {error}") from error
    staged.unlink()
    return intake


def _group(events: Iterable[pa.RecordBatch], max_events: int) -> Iterator[pa.Table]:
    """Yields whole sessions in schema GROUPED from events that are sorted by session; keeps their last events."""
    rest: pa.Table | None = None
    for batch in events:
        sorted_events = pa.Table.from_batches([batch])
        waiting = (sorted_events if rest is None else pa.concat_tables([rest, sorted_events])).combine_chunks()
        sessions = waiting["session_id"].chunk(0)
        begins = 1 + np.flatnonzero(pc.not_equal(sessions[1:], sessions[:-1]))
        if len(begins):
            yield _make_lists(waiting.slice(0, begins[-1]), np.concatenate([[0], begins]), max_events)
            waiting = waiting.slice(begins[-1])
        rest = waiting.slice(max(0, len(waiting) - max_events))
    if rest is not None:
        yield _make_lists(rest, np.array([0, len(rest)]), max_events)


def _make_lists(events: pa.Table, bounds: npt.NDArray[np.int64], max_events: int) -> pa.Table:
    lengths = np.diff(bounds)
    num_later = np.repeat(bounds[1:], lengths) - np.arange(len(events))
    kept = events["item_id"].filter(pa.array(num_later <= max_events)).combine_chunks()
    offsets = np.concatenate([[0], np.cumsum(np.minimum(lengths, max_events))])
    session_ids = events["session_id"].take(pa.array(bounds[:-1])).combine_chunks()
    return pa.Table.from_arrays(
        [session_ids, pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), kept)], schema=GROUPED
    )


def _cut(tables: Iterable[pa.Table], part_sessions: int, part_events: int) -> Iterator[pa.Table]:
    """Yields the sessions in parts of limited size."""
    waiting = GROUPED.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, table])
        while (size := _find_part(waiting, part_sessions, part_events)) < len(waiting):
            yield waiting.slice(0, size)
            waiting = waiting.slice(size)
    if len(waiting):
        yield waiting


def _find_part(sessions: pa.Table, part_sessions: int, part_events: int) -> int:
    """Number of the first sessions that fit into a part."""
    num_events = np.cumsum(pc.list_value_length(sessions["item_ids"]).to_numpy())
    return max(1, min(part_sessions, int(np.searchsorted(num_events, part_events, side="right"))))


def _stage(files: list[LogFile], path: Path, rejected_path: Path, parameters: RecommendParameters) -> Intake:
    rejected, num_lines, num_events, num_other_types = RejectedLines(rejected_path), 0, 0, 0
    progress = Progress(sum(file.num_bytes for file in files))
    try:
        with pq.ParquetWriter(path, STAGED, compression="zstd", write_statistics=False) as writer:
            for batch in read_log(files, parameters.columns):
                num_lines += batch.num_lines
                progress.advance(batch.num_bytes, f"{num_lines:,} lines of {progress.describe_bytes()}")
                if batch.rejected is not None:
                    rejected.add(batch.rejected)
                _check_share(rejected, num_lines + batch.max_lines_left, parameters.max_rejected_share)
                events = _select(batch.events, parameters.event_types)
                num_other_types += len(batch.events) - len(events)
                session, item, time = events.columns
                rows = pa.array(np.arange(num_events, num_events + len(time)))
                num_events += len(time)
                columns = [session.cast(pa.string()), item.cast(pa.string()), time.cast(pa.int64()), rows]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=STAGED))
    finally:
        rejected.close()
    _check_share(rejected, num_lines, parameters.max_rejected_share)
    if not num_events and num_other_types:
        raise ValueError(
            f"Expected events of the types in event_types. Received: none of the {num_other_types:,} events in "
            f"{files[0].name} is of type {' or '.join(parameters.event_types)}. With an empty event_column every event "
            "counts"
        )
    if not num_events:
        raise ValueError(f"Expected sessions in {files[0].name}. Received: no event. {rejected.describe()}".strip())
    return Intake(num_lines=num_lines, num_rejected=rejected.num_lines, num_other_types=num_other_types)


def _select(events: pa.RecordBatch, event_types: tuple[str, ...]) -> pa.RecordBatch:
    """Returns the session, item and time of the events whose type counts, which are all if they have no type."""
    session, item, *types, time = events.columns
    selected = pa.RecordBatch.from_arrays([session, item, time], names=["session", "item", "time"])
    return selected.filter(pc.is_in(types[0].cast(pa.string()), pa.array(event_types))) if types else selected


def _check_share(rejected: RejectedLines, max_lines: int, limit: float) -> None:
    """Raises a ValueError if too many lines were rejected, even if all remaining lines were accepted."""
    if rejected.num_lines > limit * max_lines:
        raise ValueError(
            f"Expected at most {limit:.2%} of the lines to be rejected (max_rejected_share). "
            f"Received: {rejected.num_lines:,} of {max_lines:,}. {rejected.describe()}. All rejected lines are in "
            f"{rejected.path}"
        )
