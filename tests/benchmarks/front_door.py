"""Time and peak memory of `ingest` and `sessionize` beside pandas, each in a process of its own, by turns.

    python tests/benchmarks/front_door.py

The sizes are those of the README: 5,000,000 rows for `ingest` and 10,000,000 events for `sessionize`.
"""

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.csv
except ModuleNotFoundError as error:
    raise SystemExit(f"This benchmark needs what `make install` installs. Received: {error}") from error

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

# Imported here, as pandas is, so that no job is timed with its imports.
import gru4rec_reference as reference  # noqa: E402

from components.core.intake.acceptance import ERRORS, Acceptance  # noqa: E402
from components.ingest.step import IngestParameters, ingest  # noqa: E402
from components.sessionize.step import SessionizeParameters, sessionize  # noqa: E402

DAY_MS = 24 * 60 * 60 * 1000
END = 1_442_545_200_000
CHUNK = 2_000_000


def write_sessions(path: Path, num_rows: int) -> None:
    """Sessions of five events on average, each in one piece, in the order of their ids."""
    rng = np.random.default_rng(0)
    starts = END - rng.integers(0, 120 * DAY_MS, num_rows // 5)
    session = np.sort(rng.integers(0, len(starts), num_rows))
    order = np.lexsort((time := starts[session] + rng.integers(0, 3_000_000, num_rows), session))
    item = (rng.zipf(1.3, num_rows) % 200_000)[order]
    columns = {"SessionId": session[order], "ItemId": item, "Time": time[order]}
    options = pa.csv.WriteOptions(delimiter="\t", quoting_header="none", quoting_style="none")
    pa.csv.write_csv(pa.table(columns), path, options)


def write_log(path: Path, num_rows: int) -> None:
    """Visits of a few events over 138 days, in no order."""
    rng = np.random.default_rng(1)
    names = ["timestamp", "visitorid", "event", "itemid"]
    schema = pa.schema([(name, pa.string() if name == "event" else pa.int64()) for name in names])
    options = pa.csv.WriteOptions(quoting_header="none", quoting_style="none")
    with pa.csv.CSVWriter(path, schema, write_options=options) as writer:
        for begin in range(0, num_rows, CHUNK):
            size = min(CHUNK, num_rows - begin)
            visitors = rng.integers(0, num_rows // 4, size * 2 // 5)
            visits = END - rng.integers(0, 138 * DAY_MS, len(visitors))
            visit = rng.integers(0, len(visitors), size)
            times = np.minimum(visits[visit] + rng.exponential(600_000, size).astype(np.int64), END)
            events = np.array(["view", "addtocart", "transaction"])[rng.choice(3, size, p=[0.967, 0.025, 0.008])]
            items = rng.zipf(1.3, size) % 235_000
            writer.write_table(pa.table([times, visitors[visit], events, items], schema=schema))


def run_ingest(path: Path, folder: Path) -> None:
    small = path.with_suffix(".small.tsv")
    with path.open("rb") as stream:
        small.write_bytes(b"".join(stream.readline() for _ in range(1000)))
    parameters = IngestParameters(acceptance=Acceptance(allowed_findings=ERRORS))  # valid and test are parts of train
    ingest({"train": path, "valid": small, "test": small}, folder / "events", parameters)


def run_pandas_ingest(path: Path, folder: Path, *, ids_as: type | None = None) -> None:
    types = None if ids_as is None else {"SessionId": ids_as, "ItemId": ids_as}
    pd.read_csv(path, sep="\t", dtype=types).to_parquet(folder / "pandas.parquet")


def run_pandas_text(path: Path, folder: Path) -> None:
    run_pandas_ingest(path, folder, ids_as=str)


def run_sessionize(path: Path, folder: Path) -> None:
    memory_gib = 0.25 if path.stat().st_size < 2**30 else 3.0
    sessionize(str(path), folder / "events", SessionizeParameters(sessionize_memory_gib=memory_gib))


def run_reference(path: Path, folder: Path, *, ids_as: type = int) -> None:
    for split, events in reference.prepare(reference.read(path, ids_as=ids_as)).items():
        events.to_parquet(folder / f"{split}.parquet")


def run_reference_text(path: Path, folder: Path) -> None:
    run_reference(path, folder, ids_as=str)


JOBS = {job.__name__: job for job in (
    run_ingest, run_pandas_ingest, run_pandas_text, run_sessionize, run_reference, run_reference_text,
)}  # fmt: skip


def main() -> None:
    """Writes the logs, then starts each job in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ingest-rows", type=int, default=5_000_000, help="0 to leave `ingest` out.")
    parser.add_argument("--sessionize-rows", type=int, default=10_000_000, help="0 to leave `sessionize` out.")
    parser.add_argument("--turns", type=int, default=2, help="The first job of the first turn has no warm memory.")
    parser.add_argument("--only-ours", action="store_true", help="Leave pandas out, where it has not the memory.")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        name, path = arguments.job
        begin, cpu = time.perf_counter(), time.process_time()
        JOBS[name](Path(path), Path(path).parent)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{name:20} {seconds:8.2f} s  {cpu:8.2f} s of CPU  {peak:6.2f} GiB", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        for num_rows, write, name, jobs in (
            (arguments.ingest_rows, write_sessions, "log.tsv", list(JOBS)[:3]),
            (arguments.sessionize_rows, write_log, "log.csv", list(JOBS)[3:]),
        ):
            if num_rows:
                # In a process of its own: children start with their parent's peak of memory.
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    pool.apply(write, (Path(folder) / name, num_rows))
                os.sync()  # so that no job shares the disk with what was written for it
                for job in (jobs[:1] if arguments.only_ours else jobs) * arguments.turns:
                    subprocess.run([sys.executable, __file__, "--job", job, str(Path(folder) / name)], check=True)


if __name__ == "__main__":
    main()
