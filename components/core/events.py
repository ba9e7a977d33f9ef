"""The events artifact: a folder with one Parquet file per split, all with the same schema and order."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.presentation import list_names

SPLITS = ("train", "valid", "test")
SCHEMA = pa.schema(
    [
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("time", pa.int64(), nullable=False),  # milliseconds since 1970-01-01 UTC
    ]
)


def split_path(events_dir: Path, split: str) -> Path:
    """Path of a split in the events artifact."""
    return events_dir / f"{split}.parquet"


def read_split(events_dir: Path, split: str) -> pa.Table:
    """Reads one split, with dictionary-encoded ids.

    Raises:
        FileNotFoundError: the artifact has no such split.
        ValueError: the columns of the file differ from `SCHEMA`.
    """
    path = split_path(events_dir, split)
    if not path.is_file():
        raise FileNotFoundError(f"Expected the events artifact to hold {path.name}. Received: {events_dir}")
    found = pq.read_schema(path)
    if found.names != SCHEMA.names or found.field("time").type != pa.int64():
        names = list_names(found.names, quoted=True)
        raise ValueError(f"Expected {path} to hold the columns {SCHEMA.names}. Received: [{names}]")
    return pq.read_table(path, read_dictionary=["session_id", "item_id"])


def write_split(events: pa.Table, events_dir: Path, split: str) -> None:
    """Writes one split, in the given order."""
    events_dir.mkdir(parents=True, exist_ok=True)
    pq.write_table(events.cast(SCHEMA), split_path(events_dir, split), compression="zstd")


def describe_split(events: pa.Table) -> dict[str, int]:
    """Describes a split by the numbers that report.json has of it too; documents about one split are told apart by it.

    Args:
        events: the split, from `read_split`; not empty.

    Returns:
        num_events and num_sessions; first_time and last_time, in milliseconds since 1970.
    """
    times = pc.min_max(events["time"])
    return {
        "num_events": len(events),
        "num_sessions": len(pc.unique(events["session_id"])),
        "first_time": times["min"].as_py(),
        "last_time": times["max"].as_py(),
    }
