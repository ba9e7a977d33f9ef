"""Compares the searches of the index with the bare matrix product and with other libraries, in one run.

    python tests/benchmarks/index.py
    python tests/benchmarks/index.py --items 200000
    python tests/benchmarks/index.py --vectors vectors.npz

ScaNN, FAISS, usearch and hnswlib are measured if they are installed:
    pip install --no-deps scann==1.4.2 faiss-cpu usearch hnswlib
A file of --vectors holds `candidates` [num_items, dimension] and `queries` [num_queries, dimension] of a trained model;
more items are made from the candidates, with noise. Without a file, both are clusters with noise.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[2]))

try:
    import numpy as np

    import components.core  # noqa: F401  settings that must stand before TensorFlow loads
    from components.core.machine import count_cpus
except ModuleNotFoundError as error:
    raise SystemExit(f"This benchmark needs what `make install` installs. Received: {error}") from error

BATCH_SIZE = 64
NOISE = 0.5  # length of the noise that is added to vectors of length 1
SECONDS = 3.0  # a search is repeated until it has been timed for as long, and at least once


def add_noise(vectors, rng):
    """Moves unit vectors by NOISE in a random direction, and makes them unit vectors again."""
    moved = vectors + rng.standard_normal(vectors.shape, dtype=np.float32) * (NOISE / np.sqrt(vectors.shape[1]))
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


def make_vectors(path, num_items, num_queries, dim, rng):
    if path is None:
        centres = rng.standard_normal((max(10, num_items // 50), dim), dtype=np.float32)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        sizes = 1.0 / np.arange(1, len(centres) + 1) ** 0.5
        draw = [rng.choice(len(centres), size, p=sizes / sizes.sum()) for size in (num_items, num_queries)]
        return tuple(add_noise(centres[rows], rng) for rows in draw)
    with np.load(path) as file:
        candidates, queries = file["candidates"][:, :dim], file["queries"][:num_queries, :dim]
    return add_noise(candidates[rng.integers(0, len(candidates), num_items)], rng), np.ascontiguousarray(queries)


def time_batches(answer: Callable, queries) -> tuple[float, list]:
    """Returns queries per second in batches of BATCH_SIZE, and the answers."""
    answer(queries[:BATCH_SIZE])
    answers, num_rounds, begin = [], 0, time.perf_counter()
    while num_rounds == 0 or time.perf_counter() - begin < SECONDS:
        answers = [answer(queries[first : first + BATCH_SIZE]) for first in range(0, len(queries), BATCH_SIZE)]
        num_rounds += 1
    return num_rounds * len(queries) / (time.perf_counter() - begin), answers


def time_single(answer: Callable, queries) -> float:
    """Returns the median time of a single query in milliseconds."""
    times = []
    for row in range(min(200, len(queries))):
        begin = time.perf_counter()
        answer(queries[row : row + 1])
        times.append(time.perf_counter() - begin)
    return 1_000 * float(np.median(times))


def save_search(search, folder: Path) -> Callable:
    """Saves and reloads a search as a SavedModel, as the index is used."""
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.search = search

        @tf.function(
            input_signature=[tf.TensorSpec([None, None], tf.float32, "queries"), tf.TensorSpec([], tf.int32, "k")]
        )
        def find(self, queries, k):
            return {"rows": self.search(queries, k)[1]}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures={"find": model.find})
    loaded = tf.saved_model.load(str(folder))
    return lambda queries, k: loaded.signatures["find"](queries=tf.constant(queries), k=tf.constant(k))["rows"].numpy()


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def searches(candidates, k: int) -> Iterator[tuple[str, Callable]]:
    """Yields the name of each search, and a function that builds it in a folder and returns how to ask it."""
    num_leaves = max(1, round(2 * len(candidates) ** 0.5))
    dim = candidates.shape[1]

    def brute_force(folder):
        from components.export.exact_search import ExactSearch

        find = save_search(ExactSearch(candidates), folder)
        return lambda queries: find(queries, k)

    def scann(folder):
        from components.export.scann_search import ScannSearch

        find = save_search(ScannSearch(candidates), folder)
        return lambda queries: find(queries, k)

    def faiss_ivf(folder):
        import faiss

        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, num_leaves, faiss.METRIC_INNER_PRODUCT)
        index.train(candidates[: 40 * num_leaves])
        index.add(candidates)
        index.nprobe = max(1, round(0.15 * num_leaves))
        faiss.write_index(index, str(folder / "index"))
        return lambda queries: index.search(queries, k)[1]

    def faiss_hnsw(folder):
        import faiss

        index = faiss.IndexHNSWFlat(dim, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = 100, 4 * k
        index.add(candidates)
        faiss.write_index(index, str(folder / "index"))
        return lambda queries: index.search(queries, k)[1]

    def usearch(folder):
        from usearch.index import Index

        index = Index(ndim=dim, metric="ip", connectivity=32, expansion_add=100, expansion_search=4 * k)
        index.add(np.arange(len(candidates)), candidates)
        index.save(str(folder / "index"))

        def answer(queries):
            # Of a single query, the matches have no dimension of the batch.
            return np.asarray(index.search(queries, k).keys).reshape(len(queries), -1)

        return answer

    def hnswlib(folder):
        import hnswlib

        index = hnswlib.Index(space="ip", dim=dim)
        index.init_index(max_elements=len(candidates), M=32, ef_construction=100)
        index.add_items(candidates)
        index.set_ef(4 * k)
        index.save_index(str(folder / "index"))
        return lambda queries: index.knn_query(queries, k)[0]

    for name, package, build in (
        ("brute_force", "numpy", brute_force),
        ("scann", "scann", scann),
        ("FAISS IVF", "faiss", faiss_ivf),
        ("FAISS HNSW", "faiss", faiss_hnsw),
        ("usearch", "usearch", usearch),
        ("hnswlib", "hnswlib", hnswlib),
    ):
        if find_spec(package):
            yield name, build
        else:
            print(f"{name}: not installed, pip install --no-deps {package}", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1_024)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--vectors", type=Path, help="NumPy archive with candidates and queries.")
    parser.add_argument("--only", nargs="+", help="Names of the searches to measure; all by default.")
    arguments = parser.parse_args()
    k = arguments.k
    rng = np.random.default_rng(0)
    candidates, queries = make_vectors(arguments.vectors, arguments.items, arguments.queries, arguments.dim, rng)
    print(f"{len(candidates):,} items, dimension {candidates.shape[1]}, k {k}, {count_cpus()} CPUs", flush=True)
    columns = np.ascontiguousarray(candidates.T)
    _, scores = time_batches(lambda batch: np.argpartition(-(batch @ columns), k - 1, axis=1)[:, :k], queries)
    best = np.concatenate(scores)
    product, _ = time_batches(lambda batch: (batch @ columns)[:, 0], queries)
    single = time_single(lambda batch: batch @ columns, queries)
    print(f"{'product':12} {'':13} {product:9,.0f} queries/s  {single:7.2f} ms", flush=True)
    for name, build in searches(candidates, k):
        if arguments.only and name not in arguments.only:
            continue
        with TemporaryDirectory() as scratch:
            begin = time.perf_counter()
            try:
                answer = build(Path(scratch))
            except ImportError as error:  # installed, for example for another system library
                print(f"{name}: cannot be imported, {' '.join(str(error).split())[:200]}", flush=True)
                continue
            seconds, size = time.perf_counter() - begin, size_of(Path(scratch))
            per_second, answers = time_batches(answer, queries)
            found = np.concatenate(answers)
            hits = [len({*left} & {*right}) for left, right in zip(found.tolist(), best.tolist(), strict=True)]
            single = time_single(answer, queries)
            print(
                f"{name:12} recall {np.mean(hits) / k:.4f} {per_second:9,.0f} queries/s  {single:7.2f} ms  "
                f"built in {seconds:6.1f} s  {size / 2**20:7,.0f} MiB",
                flush=True,
            )
            del answer


if __name__ == "__main__":
    main()
