"""Times exact ranks against the bare matrix product and against TFRS' FactorizedTopK, in one run.

python tests/benchmarks/ranking.py [--tfrs]
"""

import resource
import sys
import time

import numpy as np

import components.core  # noqa: F401  settings that must stand before TensorFlow loads
from components.core.ranking import TILE_BYTES, dot_product, rank_targets

NUM_QUERIES, NUM_ITEMS, DIM = 24_000, 37_000, 128
REPEATS = 3


def fastest(function) -> float:
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(NUM_QUERIES, DIM)).astype(np.float32)
    candidates = rng.normal(size=(NUM_ITEMS, DIM)).astype(np.float32)
    targets = rng.integers(1, NUM_ITEMS + 1, NUM_QUERIES).astype(np.int32)
    columns = np.ascontiguousarray(candidates.T)
    num_rows = TILE_BYTES // (4 * NUM_ITEMS)

    def bare() -> None:
        for begin in range(0, NUM_QUERIES, num_rows):
            queries[begin : begin + num_rows] @ columns

    score = dot_product(queries, candidates)
    product = fastest(bare)
    ranks = rank_targets(score, targets, num_items=NUM_ITEMS).ranks
    counted = fastest(lambda: rank_targets(score, targets, num_items=NUM_ITEMS))
    with_top = fastest(lambda: rank_targets(score, targets, num_items=NUM_ITEMS, top_k=20))
    print(f"{NUM_QUERIES:,} targets, {NUM_ITEMS:,} items, dimension {DIM}; fastest of {REPEATS}")
    print(f"bare matrix product        {product:6.2f} s")
    print(f"exact ranks                {counted:6.2f} s   {counted / product:.2f} of the product")
    print(f"exact ranks and the top 20 {with_top:6.2f} s   {with_top / product:.2f} of the product")
    print(f"peak memory                {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:6.2f} GiB")
    if "--tfrs" in sys.argv:
        compare_with_tfrs(queries, candidates, targets, ranks, counted)


def compare_with_tfrs(queries, candidates, targets, ranks, counted) -> None:
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    dataset = tf.data.Dataset.from_tensor_slices(candidates)
    for batch_size in (128, 8_192):
        metric = tfrs.metrics.FactorizedTopK(dataset.batch(batch_size), ks=(20,))
        begin = time.perf_counter()
        for first in range(0, NUM_QUERIES, 8_192):
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
