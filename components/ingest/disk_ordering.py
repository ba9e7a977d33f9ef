"""Sorts more events than fit in memory into the order of the artifact, with DuckDB."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.core.events import SCHEMA
from components.core.intake.ordering import BATCH_ROWS, Sample, SortedEvents
from components.core.literal_paths import escape_for_duckdb
from components.core.machine import count_cpus

SORT_MEMORY = "1200MB"  # memory limit of DuckDB, beyond which it spills to disk
STAGED = pa.schema([*SCHEMA, pa.field("row", pa.int64(), nullable=False)])
ENCODED_ID = pa.dictionary(pa.int32(), pa.string())
ENCODED = pa.schema([("session_id", ENCODED_ID), ("item_id", ENCODED_ID), ("time", pa.int64()), ("row", pa.int64())])


def sort_on_disk(staged_path: Path, num_rows: int, sample: Sample | None) -> Iterator[SortedEvents]:
    """Sorts a Parquet file in schema `STAGED`; DuckDB spills to disk in the same folder."""
    import duckdb  # its import takes longer than sorting a log that fits in memory

    with duckdb.connect(staged_path.with_suffix(".duckdb")) as connection:
        connection.execute(f"SET memory_limit = '{SORT_MEMORY}'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(f"SET threads = {count_cpus()}")
        connection.from_parquet(escape_for_duckdb(staged_path)).create_view("staged")
        kept = "staged"
        if sample is not None and sample.unit == "events":
            connection.register("drawn", pa.table({"row": sample.draw(num_rows)}))
            kept = "(SELECT * FROM staged WHERE row IN (SELECT row FROM drawn))"
        connection.execute(
            "CREATE TABLE starts AS SELECT session_id, min(time) AS start, min(row) AS first_row "  # noqa: S608
            f"FROM {kept} GROUP BY session_id"
        )
        drawn = "starts"
        if sample is not None and sample.unit == "sessions":
            [(num_sessions,)] = connection.execute("SELECT count(*) FROM starts").fetchall()
            connection.register("drawn", pa.table({"position": sample.draw(num_sessions)}))
            drawn = (
                "(SELECT * FROM (SELECT *, row_number() OVER (ORDER BY first_row) - 1 AS position FROM starts) "
                "WHERE position IN (SELECT position FROM drawn))"
            )
        connection.execute(
            "CREATE TABLE sessions AS SELECT session_id, "  # noqa: S608
            f"row_number() OVER (ORDER BY start, session_id) AS number FROM {drawn}"
        )
        reader = connection.sql(
            "SELECT session_id, item_id, time, row "  # noqa: S608
            f"FROM {kept} JOIN sessions USING (session_id) ORDER BY number, time, row"
        ).to_arrow_reader(BATCH_ROWS)
        yield from group_sessions(_encode_ids(pa.Table.from_batches([batch])) for batch in reader)


def group_sessions(tables: Iterable[pa.Table]) -> Iterator[SortedEvents]:
    """Regroups sorted tables in schema `STAGED`, dictionary-encoded in order of occurrence, into whole sessions."""
    rest: list[pa.Table] = []
    for table in tables:
        waiting = pa.concat_tables([*rest, table.cast(ENCODED)]).unify_dictionaries().combine_chunks()
        sessions = waiting["session_id"].chunk(0).indices.to_numpy()
        begin = int(np.searchsorted(sessions, sessions[-1]))
        if begin:
            yield _encode(waiting.slice(0, begin))
        rest = [_encode_ids(waiting.slice(begin).cast(STAGED)).cast(ENCODED)]
    for table in rest:
        yield _encode(table.combine_chunks())


def _encode_ids(events: pa.Table) -> pa.Table:
    for position in range(2):
        name = SCHEMA.names[position]
        events = events.set_column(position, name, events[name].dictionary_encode())
    return events


def _encode(events: pa.Table) -> SortedEvents:
    session, item = (events[name].chunk(0) for name in SCHEMA.names[:2])
    sessions = session.indices.to_numpy()
    return SortedEvents(
        sessions=sessions - sessions[0],
        session_ids=session.dictionary.slice(sessions[0], sessions[-1] + 1 - sessions[0]),
        items=item.indices.to_numpy(),
        item_ids=item.dictionary,
        times=events["time"].to_numpy(),
        rows=events["row"].to_numpy(),
    )
