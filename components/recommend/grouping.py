"""Groups the events of a log, in any order, into sessions, on disk."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.logs.files import LogFile
from components.core.logs.reader import read_log
from components.core.logs.rejected import RejectedLines
from components.core.machine import count_cpus
from components.recommend.parameters import RecommendParameters

MEMORY = "1GiB"  # memory limit of the sorting engine, which spills to disk beyond it
STAGED = pa.schema([("session_id", pa.string()), ("item_id", pa.string()), ("time", pa.int64()), ("row", pa.int64())])

# The newest events of each session, oldest first; events with equal times are in the order of the files.
QUERY = """
COPY (
    SELECT session_id, list(item_id ORDER BY time, row)[-{limit}:] AS item_ids
    FROM read_parquet('{source}') GROUP BY session_id ORDER BY session_id
) TO '{target}' (FORMAT parquet, ROW_GROUP_SIZE {rows})
"""


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What was read.

    Attributes:
        num_lines: number of lines.
        num_rejected: number of rejected lines.
    """

    num_lines: int
    num_rejected: int


def group_sessions(
    files: list[LogFile], work_dir: Path, sessions_path: Path, rejected_path: Path, parameters: RecommendParameters,
    *, part_sessions: int,
) -> Intake:  # fmt: skip
    """Writes one row per session, in ascending order of the session ids.

    Args:
        files: the log.
        work_dir: folder for temporary files.
        sessions_path: Parquet file to write: `session_id`, and `item_ids`, a list with the newest
            `max_session_events` items, oldest first.
        rejected_path: Parquet file to write the rejected lines to.
        parameters: parameters of the step.
        part_sessions: number of sessions per row group.

    Raises:
        ValueError: a file cannot be read, too many lines were rejected, or the log has no events.
    """
    staged = work_dir / "events.parquet"
    intake = _stage(files, staged, rejected_path, parameters)
    query = QUERY.format(
        limit=parameters.max_session_events, source=_quote(staged), target=_quote(sessions_path), rows=part_sessions
    )
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "temp_directory": str(work_dir / "spill"),
        "threads": count_cpus(),
    }
    with duckdb.connect(config=config) as connection:
        connection.execute(query)
    staged.unlink()
    return intake


def _stage(files: list[LogFile], path: Path, rejected_path: Path, parameters: RecommendParameters) -> Intake:
    rejected, num_lines, num_events = RejectedLines(rejected_path), 0, 0
    try:
        with pq.ParquetWriter(path, STAGED, compression="zstd", write_statistics=False) as writer:
            for batch in read_log(files, parameters.columns):
                num_lines += batch.num_lines
                if batch.rejected is not None:
                    rejected.add(batch.rejected)
                _check_share(rejected, num_lines + batch.max_lines_left, parameters.max_rejected_share)
                session, item, time = batch.events.columns
                rows = pa.array(np.arange(num_events, num_events + len(time)))
                num_events += len(time)
                columns = [session.cast(pa.string()), item.cast(pa.string()), time.cast(pa.int64()), rows]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=STAGED))
    finally:
        rejected.close()
    _check_share(rejected, num_lines, parameters.max_rejected_share)
    if not num_events:
        raise ValueError(f"Expected sessions in {files[0].name}. Received: no event. {rejected.describe()}".strip())
    return Intake(num_lines=num_lines, num_rejected=rejected.num_lines)


def _check_share(rejected: RejectedLines, max_lines: int, limit: float) -> None:
    """Raises a ValueError if too many lines were rejected, even if all remaining lines were accepted."""
    if rejected.num_lines > limit * max_lines:
        raise ValueError(
            f"Expected at most {limit:.2%} of the lines to be rejected. Received: {rejected.num_lines:,} of "
            f"{max_lines:,}. {rejected.describe()}. All rejected lines are in {rejected.path}"
        )


def _quote(path: Path) -> str:
    return str(path).replace("'", "''")
