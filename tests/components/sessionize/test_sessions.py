import pyarrow as pa
import pytest

from components.sessionize.engines import DuckDB
from components.sessionize.sessions import cut_sessions, find_duplicates


@pytest.mark.parametrize("id_type", [pa.int32(), pa.string()])
def test_no_window_sorts_what_comes_in_order(tmp_path, id_type):
    engine = DuckDB(tmp_path, memory_gib=0.1)
    schema = pa.schema([("visitor", id_type), ("item", id_type), ("counts", pa.bool_()), ("time", pa.int64())])
    engine.connection.con.register("events", schema.empty_table())
    events = engine.connection.table("events")
    cut = cut_sessions(events, max_gap_ms=1, min_session_length=3, is_in_order=True)
    for table in (cut, find_duplicates(events, is_in_order=True)):
        [(_, plan)] = engine.connection.con.execute(f"EXPLAIN {engine.connection.compile(table)}").fetchall()
        operators = [line for line in plan.splitlines() if "Window" in line]
        assert operators
        assert all("Streaming Window" in line for line in operators)
    engine.close()
