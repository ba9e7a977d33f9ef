"""Time and peak memory of every step as the log grows, each step in a process of its own: an epoch, all defaults.

    python tests/benchmarks/scale.py

The sizes are those of the README: 10,000, 100,000 and 1,000,000 items, ten events an item.
"""

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

try:
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv
except ModuleNotFoundError as error:
    raise SystemExit(f"This benchmark needs what `make install` installs. Received: {error}") from error

sys.path.insert(0, str(Path(__file__).parents[2]))

DAY_MS = 24 * 60 * 60 * 1000
NUM_DAYS = 60
EVENTS_PER_ITEM = 10
SESSION_LENGTH = 4


def write_log(folder: Path, num_items: int) -> None:
    """Sessions that walk among neighbouring items, begun at an item drawn by popularity (Zipf); ten events an item."""
    rng = np.random.default_rng(0)
    num_sessions = num_items * EVENTS_PER_ITEM // SESSION_LENGTH
    popularity = np.cumsum(1.0 / (10.0 + rng.permutation(num_items)))
    first = np.searchsorted(popularity, rng.random(num_sessions) * popularity[-1])
    steps = rng.geometric(0.3, (num_sessions, SESSION_LENGTH)) * rng.choice([-1, 1], (num_sessions, 1))
    steps[:, 0] = 0
    items = (first[:, np.newaxis] + np.cumsum(steps, axis=1)) % num_items
    start = np.sort(rng.integers(0, NUM_DAYS * DAY_MS, num_sessions))
    times = 1_735_689_600_000 + start[:, np.newaxis] + 60_000 * np.arange(SESSION_LENGTH)
    split = np.digitize(start, [(NUM_DAYS - 14) * DAY_MS, (NUM_DAYS - 7) * DAY_MS])
    options = pa.csv.WriteOptions(delimiter="\t", quoting_header="none", quoting_style="none")
    for number, name in enumerate(("train", "valid", "test")):
        rows = np.flatnonzero(split == number)
        columns = {
            "SessionId": np.repeat(rows, SESSION_LENGTH),
            "ItemId": items[rows].ravel(),
            "Time": times[rows].ravel(),
        }
        pa.csv.write_csv(pa.table(columns), folder / f"{name}.tsv", options)


def run_ingest(folder: Path) -> None:
    from components.ingest.step import IngestParameters, ingest

    ingest({name: folder / f"{name}.tsv" for name in ("train", "valid", "test")}, folder / "events", IngestParameters())


def run_vocabulary(folder: Path) -> None:
    from components.vocabulary.step import make_vocabulary

    make_vocabulary(folder / "events", folder / "vocabulary", min_item_count=1, include_valid=False)


def run_train(folder: Path) -> None:
    from components.train.parameters import TrainParameters
    from components.train.step import train_model

    train_model(
        folder / "events",
        folder / "vocabulary",
        folder / "model",
        folder / "tensorboard",
        TrainParameters(max_epochs=1, refit=False),
    )


def run_evaluate(folder: Path) -> None:
    from components.evaluate.step import EvaluateParameters, evaluate

    evaluate(folder / "events", folder / "vocabulary", folder / "model", folder / "metrics.json", EvaluateParameters())


def run_export(folder: Path) -> None:
    from components.export.step import export

    export(folder / "events", folder / "vocabulary", folder / "model", folder / "index", folder / "embeddings.parquet")


STEPS = {step.__name__.removeprefix("run_"): step for step in (
    run_ingest, run_vocabulary, run_train, run_evaluate, run_export,
)}  # fmt: skip


def main() -> None:
    """Runs all steps for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if find_spec("tensorflow") is None:
        parser.error("the steps need TensorFlow, which `make install` installs")
    if arguments.step:
        name, folder = arguments.step
        begin = time.perf_counter()
        STEPS[name](Path(folder))
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{name:12} {seconds:8.1f} s {peak:7.2f} GiB", flush=True)
        return
    for num_items in arguments.items:
        with tempfile.TemporaryDirectory() as folder:
            # In a process of its own: children start with their parent's peak of memory.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                pool.apply(write_log, (Path(folder), num_items))
            print(f"{num_items:,} items, {num_items * EVENTS_PER_ITEM:,} events", flush=True)
            for name in STEPS:
                subprocess.run([sys.executable, __file__, "--step", name, folder], check=True)
            metrics = json.loads((Path(folder) / "metrics.json").read_text())
            print(
                f"targets/s {metrics['training']['targets_per_second']:,.0f}, "
                f"recall@20 {metrics['model']['recall@20']:.4f} of {metrics['num_targets']:,} targets"
            )


if __name__ == "__main__":
    main()
