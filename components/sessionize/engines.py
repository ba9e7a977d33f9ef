"""The engines that run Ibis expressions: DuckDB in this process, or Spark."""

import re
import shutil
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any, Protocol

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.logs.ahead import map_ahead
from components.core.machine import count_cpus
from components.sessionize.numbering import Numbering
from components.sessionize.visits import sort_visits

ENGINES = ("duckdb", "spark")
MAX_STREAMS = 8  # limited because each stream lengthens the query
Expression = Callable[[ir.Table], ir.Table]


class Engine(Protocol):
    """Runs Ibis expressions.

    Attributes:
        reads_in_order: whether events are read grouped by visitor and sorted by time and item, and a window without an
            order keeps this order.
    """

    reads_in_order: bool

    def keep_parts(self, parts: list[list[Path]], *expressions: Expression) -> list[ir.Table]:
        """Computes tables from events that are read and processed part by part.

        Args:
            parts: Parquet files with events in parts; all events of a visitor are in the same part.
            expressions: functions that transform a table with the events of some visitors.

        Returns:
            The result of each expression for all events.
        """

    def keep(self, expression: ir.Table) -> ir.Table:
        """Computes and materialises a table that several expressions use."""

    def stream(self, expression: ir.Table, num_rows: int) -> Iterator[pa.RecordBatch]:
        """Computes a table and yields its rows in order, at most `num_rows` at a time."""

    def close(self) -> None:
        """Releases all tables."""


class DuckDB:
    """Runs expressions in this process and spills to disk beyond its memory limit.

    Args:
        work_dir: folder for its files.
        memory_gib: memory limit in GiB.
    """

    reads_in_order = True

    def __init__(self, work_dir: Path, memory_gib: float) -> None:
        self.connection = ibis.duckdb.connect(
            work_dir / "engine.duckdb",
            memory_limit=f"{memory_gib}GiB",
            temp_directory=str(work_dir / "spill"),
            preserve_insertion_order=False,
            threads=count_cpus(),
        )
        self.num_kept = 0
        self.numbering: Numbering | None = None

    def keep_parts(self, parts: list[list[Path]], *expressions: Expression) -> list[ir.Table]:
        """Computes tables from events part by part; the next part is prefetched and sorted meanwhile.

        Each part is divided into one stream per core, at most MAX_STREAMS, because a window over presorted rows runs in
        a single thread. It takes a fifth of the time of a window that sorts. The streams of all parts have the same
        table names, so the queries are compiled only for the first part.
        """
        if pa.types.is_string(pq.read_schema(parts[0][0]).field("visitor").type):
            self.numbering = Numbering(path for paths in parts for path in paths)
        streams = [f"stream_{number}" for number in range(min(count_cpus(), len(parts[0]), MAX_STREAMS))]

        def read(paths: list[Path]) -> list[pa.Table]:
            events = [sort_visits(self._read(path)) for path in paths]
            none = events[0].slice(0, 0)
            return [pa.concat_tables([none, *events[number :: len(streams)]]) for number in range(len(streams))]

        kept: list[ir.Table] = []
        queries: list[str] = []
        for part in map_ahead(read, parts, num_threads=1, num_ahead=1):
            for name in streams:
                self.connection.con.register(name, part.pop())  # pop, so no other reference keeps the stream in memory
            if not kept:
                tables = [self.connection.table(name) for name in streams]
                made = (reduce(ir.Table.union, map(expression, tables)) for expression in expressions)
                queries = [self._compile(table) for table in made]
                kept = [self._create(query) for query in queries]
            else:
                for table, query in zip(kept, queries, strict=True):
                    self.connection.raw_sql(f"INSERT INTO {table.get_name()} {query}")
            for name in streams:
                self.connection.con.unregister(name)
        pa.default_memory_pool().release_unused()
        return kept

    def _read(self, path: Path) -> pa.Table:
        if self.numbering is not None:
            return self.numbering.read(path)
        return pq.read_table(path, use_threads=False).combine_chunks()

    def keep(self, expression: ir.Table) -> ir.Table:
        """Computes and materialises a table that several expressions use."""
        return self._create(self._compile(expression))

    def _compile(self, expression: ir.Table) -> str:
        return str(self.connection.compile(expression))

    def _create(self, query: str) -> ir.Table:
        self.num_kept += 1
        name = f"kept_{self.num_kept}"
        self.connection.raw_sql(f"CREATE TEMP TABLE {name} AS {query}")
        return self.connection.table(name)

    def stream(self, expression: ir.Table, num_rows: int) -> Iterator[pa.RecordBatch]:
        """Computes a table and yields its rows in order, at most `num_rows` at a time."""
        for rows in self.connection.con.sql(self._compile(expression)).to_arrow_reader(num_rows):
            yield rows if self.numbering is None else self.numbering.to_texts(rows)

    def close(self) -> None:
        """Releases all tables."""
        self.connection.disconnect()


class Spark:
    """Runs expressions in the active Spark session, or in a local one if none is active.

    Args:
        work_dir: folder for its files.
    """

    reads_in_order = False

    def __init__(self, work_dir: Path) -> None:
        from pyspark.sql import SparkSession

        self.work_dir = work_dir
        builder: Any = SparkSession.builder
        self.is_own = SparkSession.getActiveSession() is None
        self.session = (
            builder.config("spark.local.dir", str(work_dir))
            .config("spark.sql.warehouse.dir", str(work_dir / "warehouse"))
            .config("spark.ui.enabled", "false")
            .getOrCreate()
        )
        self.connection = ibis.pyspark.connect(self.session)
        self.kept: list[Any] = []

    def keep_parts(self, parts: list[list[Path]], *expressions: Expression) -> list[ir.Table]:
        """Computes tables from the events of all parts."""
        paths = [_escape_glob(path) for part in parts for path in part]
        events = reduce(ir.Table.union, map(self.connection.read_parquet, paths))
        return [self.keep(expression(events)) for expression in expressions]

    def keep(self, expression: ir.Table) -> ir.Table:
        """Computes and materialises a table that several expressions use."""
        self.kept.append(expression.cache())
        return self.kept[-1]

    def stream(self, expression: ir.Table, num_rows: int) -> Iterator[pa.RecordBatch]:
        """Computes a table to disk and yields its rows in order, at most `num_rows` at a time."""
        folder = self.work_dir / "stream"
        expression.to_parquet_dir(folder)
        try:
            for path in sorted(folder.glob("*.parquet")):
                yield from pq.ParquetFile(path).iter_batches(num_rows)
        finally:
            shutil.rmtree(folder)

    def close(self) -> None:
        """Releases all tables."""
        for table in self.kept:
            table.release()
        if self.is_own:
            self.session.stop()


def _escape_glob(path: Path) -> str:
    """Escapes each wildcard of Spark with a backslash."""
    return re.sub(r"([\[{*?\\])", r"\\\1", str(path))


def start(name: str, work_dir: Path, *, memory_gib: float) -> Engine:
    """Starts the engine with a name from ENGINES."""
    return Spark(work_dir) if name == "spark" else DuckDB(work_dir, memory_gib)
