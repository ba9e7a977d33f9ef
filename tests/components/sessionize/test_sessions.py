import pyarrow as pa
import pytest

from components.sessionize.bots import MAX_LAG
from components.sessionize.engines import DuckDB
from components.sessionize.sessions import count_suspicious, cut_sessions


@pytest.mark.parametrize("id_type", [pa.int32(), pa.string()])
@pytest.mark.parametrize("has_rows", [False, True])
def test_no_window_sorts_what_comes_in_order(tmp_path, id_type, has_rows):
    engine = DuckDB(tmp_path, memory_gib=0.1)
    schema = pa.schema([("visitor", id_type), ("item", id_type), ("counts", pa.bool_()), ("time", pa.int64())])
    if has_rows:
        schema = schema.append(pa.field("row", pa.int64()))
    engine.connection.con.register("events", schema.empty_table())
    events = engine.connection.table("events")
    cut = cut_sessions(events, max_gap_ms=1, min_session_length=3, drop_repeats=True, is_in_order=True)
    for table in (cut, count_suspicious(events, max_gap_ms=1, max_events=MAX_LAG, is_in_order=True)):
        [(_, plan)] = engine.connection.con.execute(f"EXPLAIN {engine.connection.compile(table)}").fetchall()
        operators = [line for line in plan.splitlines() if "Window" in line]
        assert operators
        assert all("Streaming Window" in line for line in operators)
    engine.close()
