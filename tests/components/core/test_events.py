import pyarrow as pa
import pytest

from components.core.events import SCHEMA, read_split, write_split


def table(rows: list[tuple[str, str, int]]) -> pa.Table:
    return pa.table(list(map(list, zip(*rows, strict=True))), schema=SCHEMA)


def rows_of(events: pa.Table) -> list[tuple[str, str, int]]:
    return list(zip(*(events[name].to_pylist() for name in SCHEMA.names), strict=True))


def test_split_survives_the_disk(tmp_path):
    rows = [("007", "1e5", 1), ("007", "9007199254740993", 2), ("né", "x y", 3)]
    write_split(table(rows), tmp_path, "train")
    assert rows_of(read_split(tmp_path, "train")) == rows


def test_missing_split_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected the events artifact to hold valid\.parquet"):
        read_split(tmp_path, "valid")
