"""Script, run in a fresh process, that compares the results of the saved index with exact scores and times them.

Like a server, it imports TensorFlow and nothing from this project; ScaNN too if the index needs its operations.

python check.py INDEX PROBES, where PROBES is a folder with
    probes.json: "sessions", lists of item ids padded with "" to equal length; "item_ids", the catalogue; "k";
        "exact", whether the search is to find the best items.
    exact.npy: [num_sessions, num_items] float32 scores.
    queries.json: arguments of `measure`.
It writes measured.json, the result of `measure`, into the same folder.
"""

import importlib
import itertools
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

TOLERANCE = 1e-4  # relative to the largest score; the order of float32 summation differs
SCANN_OPERATION = "Scann>"
BATCH_SIZE = 64  # sessions of a batch whose time is measured
NUM_WARM_UP_QUERIES = 10  # not timed: the first calls allocate memory and choose algorithms
MIN_TIMED_QUERIES = 100  # sessions are repeated if there are fewer, since a 99th percentile needs that many


def check(
    signatures: Mapping[str, Any],
    sessions: list[list[str]],
    item_ids: list[str],
    scores: npt.NDArray[np.float32],
    k: int,
    exact: bool = True,
) -> str:
    """Compares the index with exact scores.

    Args:
        signatures: those of the loaded index.
        sessions: [num_sessions, length] item ids of the sessions to query, padded with "".
        item_ids: [num_items] ids of the catalogue.
        scores: [num_sessions, num_items] exact scores.
        k: number of items to request per session.
        exact: whether the items must be the best. Otherwise the search may miss some, which `measure` counts, and
            others for another k, as in `serving_default`.

    Returns:
        An ASCII error message, or "" if the results agree.
    """
    recommend, known = signatures["recommend"], signatures["known"]
    if not tf.reduce_all(known(item_ids=tf.constant([item_ids]))["known"]):
        return "Expected every item of the catalogue to be known. Received: an index that does not know all of them"
    nothing = tf.constant([], tf.string, shape=[len(sessions), 0])
    answer = recommend(item_ids=tf.constant(sessions), k=tf.constant([k]), exclude_ids=nothing)
    found, received = answer["item_ids"].numpy(), answer["scores"].numpy()
    tolerance = TOLERANCE * np.abs(scores).max()
    best = -np.sort(-scores, axis=1)[:, :k]
    if received.shape != best.shape or (exact and not np.allclose(received, best, atol=tolerance)):
        return f"Expected the best exact scores {best[0, :3]} ... Received: {received[0, :3]} ..."
    row_of = {item_id.encode(): row for row, item_id in enumerate(item_ids)}
    foreign = [item_id for item_id in found.ravel() if item_id not in row_of]
    if foreign:
        return f"Expected items of the catalogue. Received: {foreign[:3]}"
    rows = np.array([[row_of[item_id] for item_id in session] for session in found])
    if not np.allclose(received, np.take_along_axis(scores, rows, axis=1), atol=tolerance):
        return f"Expected each item with its own exact score. Received: other scores for {found[0, :3].tolist()} ..."
    others = recommend(item_ids=tf.constant(sessions), k=tf.constant([k]), exclude_ids=answer["item_ids"])["item_ids"]
    if any(set(left) & (set(right) - {b""}) for left, right in zip(found, others.numpy(), strict=True)):
        return "Expected excluded items not to be returned. Received: one of them"
    default = signatures["serving_default"](item_ids=tf.constant(sessions))["scores"].numpy()
    width = min(default.shape[1], k)
    if exact and not np.allclose(default[:, :width], received[:, :width], atol=tolerance):
        return f"Expected the same scores from serving_default. Received: {default[0, :3]} ..."
    return ""


def measure(
    signatures: Mapping[str, Any], sessions: list[list[str]], best: list[dict[str, float]], largest: float, k: int
) -> dict[str, Any]:
    """Measures the recall, the scores and the speed of the index, one query at a time, as a server is asked.

    Args:
        signatures: those of the loaded index.
        sessions: item ids of each session to query.
        best: for each session, the exact scores of the items that may be among its first `k`, by id; more than `k`
            where scores tie.
        largest: largest absolute exact score of all items and sessions.
        k: number of items to request per session.

    Returns:
        num_queries: number of timed queries, repeats included.
        index_recall: share of the `k` best items that the index returns.
        p50_ms, p99_ms: percentiles of the time of a query in milliseconds.
        batch_queries_per_second: queries per second in batches of BATCH_SIZE sessions, after one that is not timed.
        score_difference: largest absolute difference from an exact score, divided by `largest`.
    """
    recommend = signatures["recommend"]
    num_items = tf.constant([k])
    nothing = tf.constant([], tf.string, shape=[1, 0])
    queries = [tf.constant([session]) for session in sessions]
    for query in queries[:NUM_WARM_UP_QUERIES]:
        recommend(item_ids=query, k=num_items, exclude_ids=nothing)
    num_found, difference, seconds = 0, 0.0, []
    for repeat in range(-(-MIN_TIMED_QUERIES // len(queries))):
        for query, scores in zip(queries, best, strict=True):
            begin = time.perf_counter()
            answer = recommend(item_ids=query, k=num_items, exclude_ids=nothing)
            found, received = answer["item_ids"].numpy()[0], answer["scores"].numpy()[0]
            seconds.append(time.perf_counter() - begin)
            if repeat == 0:
                exact = {item_id.decode(): score for item_id, score in zip(found, received.tolist(), strict=True)}
                hits = exact.keys() & scores.keys()
                num_found += len(hits)
                difference = max([difference, *(abs(exact[item_id] - scores[item_id]) for item_id in hits)])
    p50, p99 = np.quantile(seconds, [0.5, 0.99])
    return {
        "num_queries": len(seconds),
        "index_recall": num_found / (k * len(queries)),
        "p50_ms": 1_000.0 * float(p50),
        "p99_ms": 1_000.0 * float(p99),
        "batch_queries_per_second": _measure_batches(recommend, sessions, k),
        "score_difference": difference / largest,
    }


def _measure_batches(recommend: Any, sessions: list[list[str]], k: int) -> float:
    length = max(map(len, sessions))
    padded = tf.constant([session + [""] * (length - len(session)) for session in sessions])
    batches = [padded[begin : begin + BATCH_SIZE] for begin in range(0, len(sessions), BATCH_SIZE)]
    begin = 0.0
    for batch in [batches[0], *batches]:
        recommend(item_ids=batch, k=tf.constant([k]), exclude_ids=batch[:, :0])
        begin = begin or time.perf_counter()
    return len(sessions) / (time.perf_counter() - begin)


def load(index_dir: str) -> Any:
    """Loads the index, with the operations of ScaNN if it needs them."""
    if needs_scann(index_dir):
        importlib.import_module("scann.scann_ops.py.scann_ops")
    return tf.saved_model.load(index_dir)


def needs_scann(index_dir: str) -> bool:
    """Whether the graph of an index has operations of ScaNN."""
    saved = saved_model_pb2.SavedModel.FromString(Path(index_dir, "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = itertools.chain(graph.node, *(function.node_def for function in graph.library.function))
    return any(node.op.startswith(SCANN_OPERATION) for node in nodes)


def resident_bytes() -> int:
    """Memory of this process that is resident, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1_024 * int(status.split("VmRSS:")[1].split()[0])


def main(index_dir: str, probes_dir: str) -> int:
    """Prints the result of the check; returns the exit code."""
    tf.config.experimental.enable_tensor_float_32_execution(False)  # rounds by more than TOLERANCE
    probes = json.loads(Path(probes_dir, "probes.json").read_text(encoding="utf-8"))
    queries = json.loads(Path(probes_dir, "queries.json").read_text(encoding="utf-8"))
    before = resident_bytes()
    signatures = load(index_dir).signatures
    measured = measure(signatures, **queries)
    measured["memory_bytes"] = resident_bytes() - before
    wrong = check(signatures, **probes, scores=np.load(Path(probes_dir, "exact.npy")))
    if not wrong:
        measured["size_bytes"] = sum(path.stat().st_size for path in Path(index_dir).rglob("*") if path.is_file())
        Path(probes_dir, "measured.json").write_text(json.dumps(measured), encoding="utf-8")
    print(wrong or "the index returns items with their exact scores")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
