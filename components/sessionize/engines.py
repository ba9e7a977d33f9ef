"""What runs the expressions: DuckDB in this process, or Spark."""

from pathlib import Path
from typing import Any, Protocol

import ibis
import ibis.expr.types as ir

ENGINES = ("duckdb", "spark")


class Engine(Protocol):
    """Runs Ibis expressions."""

    def read(self, path: Path) -> ir.Table:
        """The table in a Parquet file, or in those that match a glob."""

    def keep(self, expression: ir.Table) -> ir.Table:
        """Computes a table once, for all that is derived from it."""

    def drop(self, table: ir.Table) -> None:
        """Lets go of a table that was kept."""

    def close(self) -> None:
        """Lets go of all tables."""


class DuckDB:
    """Runs expressions in this process; what does not fit in memory goes to disk.

    Args:
        work_dir: a folder for its files.
        memory_gib: that it may use.
    """

    def __init__(self, work_dir: Path, memory_gib: float) -> None:
        self.connection = ibis.duckdb.connect(
            work_dir / "engine.duckdb",
            memory_limit=f"{memory_gib}GiB",
            temp_directory=str(work_dir / "spill"),
            preserve_insertion_order=False,
        )
        self.num_kept = 0

    def read(self, path: Path) -> ir.Table:
        """The table in a Parquet file, or in those that match a glob."""
        return self.connection.read_parquet(path)

    def keep(self, expression: ir.Table) -> ir.Table:
        """Computes a table once, for all that is derived from it."""
        self.num_kept += 1
        return self.connection.create_table(f"kept_{self.num_kept}", expression, temp=True)

    def drop(self, table: ir.Table) -> None:
        """Lets go of a table that was kept."""
        self.connection.raw_sql(f"DROP TABLE {table.get_name()}")

    def close(self) -> None:
        """Lets go of all tables."""
        self.connection.disconnect()


class Spark:
    """Runs expressions in the Spark session that is there, or in a local one.

    Args:
        work_dir: a folder for its files.
    """

    def __init__(self, work_dir: Path) -> None:
        from pyspark.sql import SparkSession

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

    def read(self, path: Path) -> ir.Table:
        """The table in a Parquet file, or in those that match a glob."""
        return self.connection.read_parquet(path)

    def keep(self, expression: ir.Table) -> ir.Table:
        """Computes a table once, for all that is derived from it."""
        self.kept.append(expression.cache())
        return self.kept[-1]

    def drop(self, table: ir.Table) -> None:
        """Lets go of a table that was kept."""
        self.kept.remove(next(kept for kept in self.kept if kept is table))
        table.release()

    def close(self) -> None:
        """Lets go of all tables."""
        for table in self.kept:
            table.release()
        if self.is_own:
            self.session.stop()


def start(name: str, work_dir: Path, *, memory_gib: float) -> Engine:
    """Starts the engine of ENGINES that is named."""
    return Spark(work_dir) if name == "spark" else DuckDB(work_dir, memory_gib)
