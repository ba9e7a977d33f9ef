"""Times exact ranks against the bare matrix product and, on demand, against TFRS' FactorizedTopK, in one run.

    python tests/benchmarks/ranking.py
    python tests/benchmarks/ranking.py --tfrs

The sizes are those of the README: 24,000 targets among 37,000 items, dimension 128.
"""

import argparse
import resource
import sys
import time
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

try:
    import numpy as np

    import components.core  # noqa: F401  settings that must stand before TensorFlow loads
    from components.core.ranking import TILE_BYTES, dot_product, rank_targets
except ModuleNotFoundError as error:
    raise SystemExit(f"This benchmark needs what `make install` installs. Received: {error}") from error

REPEATS = 3


def fastest(function) -> float:
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    """Prints the times beside each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=24_000)
    parser.add_argument("--items", type=int, default=37_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--tfrs", action="store_true", help="Compare with FactorizedTopK, which takes a minute.")
    arguments = parser.parse_args()
    if arguments.tfrs and find_spec("tensorflow_recommenders") is None:
        parser.error("--tfrs needs TensorFlow Recommenders, which `make install` installs")
    num_queries, num_items, dim = arguments.queries, arguments.items, arguments.dim
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(num_queries, dim)).astype(np.float32)
    candidates = rng.normal(size=(num_items, dim)).astype(np.float32)
    targets = rng.integers(1, num_items + 1, num_queries).astype(np.int32)
    columns = np.ascontiguousarray(candidates.T)
    num_rows = TILE_BYTES // (4 * num_items)

    def bare() -> None:
        for begin in range(0, num_queries, num_rows):
            queries[begin : begin + num_rows] @ columns

    score = dot_product(queries, candidates)
    product = fastest(bare)
    ranks = rank_targets(score, targets, num_items=num_items).ranks
    counted = fastest(lambda: rank_targets(score, targets, num_items=num_items))
    with_top = fastest(lambda: rank_targets(score, targets, num_items=num_items, top_k=20))
    print(f"{num_queries:,} targets, {num_items:,} items, dimension {dim}; fastest of {REPEATS}")
    print(f"bare matrix product        {product:6.2f} s")
    print(f"exact ranks                {counted:6.2f} s   {counted / product:.2f} of the product")
    print(f"exact ranks and the top 20 {with_top:6.2f} s   {with_top / product:.2f} of the product")
    print(f"peak memory                {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:6.2f} GiB")
    if arguments.tfrs:
        compare_with_tfrs(queries, candidates, targets, ranks, counted)


def compare_with_tfrs(queries, candidates, targets, ranks, counted) -> None:
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    dataset = tf.data.Dataset.from_tensor_slices(candidates)
    for batch_size in (128, 8_192):
        metric = tfrs.metrics.FactorizedTopK(dataset.batch(batch_size), ks=(20,))
        begin = time.perf_counter()
        for first in range(0, len(queries), 8_192):
            rows = slice(first, first + 8_192)
            metric.update_state(queries[rows], candidates[targets[rows] - 1])
        seconds = time.perf_counter() - begin
        recall, expected = float(metric.result()[0]), float((ranks <= 20).mean())
        print(
            f"FactorizedTopK, candidates by {batch_size:5,}  {seconds:6.2f} s   {seconds / counted:.1f} times exact "
            f"ranks; recall@20 {recall:.6f}, ours {expected:.6f}"
        )


if __name__ == "__main__":
    main()
