"""Script, run in a fresh process, that compares the results of the saved index with exact scores.

Like a server, it imports TensorFlow and nothing from this project.

python check.py INDEX PROBES, where PROBES is a folder with
    probes.json: "sessions", lists of item ids padded with "" to equal length; "item_ids", the catalogue; "k".
    exact.npy: [num_sessions, num_items] float32 scores.
"""

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

TOLERANCE = 1e-4  # relative to the largest score; the order of float32 summation differs


def check(
    index_dir: str,
    sessions: list[list[str]],
    item_ids: list[str],
    exact: npt.NDArray[np.float32],
    k: int,
) -> str:
    """Compares the index with exact scores.

    Args:
        index_dir: the SavedModel.
        sessions: [num_sessions, length] item ids of the sessions to query, padded with "".
        item_ids: [num_items] ids of the catalogue.
        exact: [num_sessions, num_items] exact scores.
        k: number of items to request per session.

    Returns:
        An ASCII error message, or "" if the results agree.
    """
    signatures = tf.saved_model.load(index_dir).signatures
    recommend, known = signatures["serving_default"], signatures["known"]
    if not tf.reduce_all(known(item_ids=tf.constant([item_ids]))["known"]):
        return "Expected every item of the catalogue to be known. Received: an index that does not know all of them"
    nothing = tf.constant([], tf.string, shape=[len(sessions), 0])
    answer = recommend(item_ids=tf.constant(sessions), k=tf.constant(k), exclude_ids=nothing)
    found, scores = answer["item_ids"].numpy(), answer["scores"].numpy()
    tolerance = TOLERANCE * np.abs(exact).max()
    best = -np.sort(-exact, axis=1)[:, :k]
    if scores.shape != best.shape or not np.allclose(scores, best, atol=tolerance):
        return f"Expected the best exact scores {best[0, :3]} ... Received: {scores[0, :3]} ..."
    row_of = {item_id.encode(): row for row, item_id in enumerate(item_ids)}
    foreign = [item_id for item_id in found.ravel() if item_id not in row_of]
    if foreign:
        return f"Expected items of the catalogue. Received: {foreign[:3]}"
    rows = np.array([[row_of[item_id] for item_id in session] for session in found])
    if not np.allclose(scores, np.take_along_axis(exact, rows, axis=1), atol=tolerance):
        return f"Expected each item with its own exact score. Received: other scores for {found[0, :3].tolist()} ..."
    others = recommend(item_ids=tf.constant(sessions), k=tf.constant(k), exclude_ids=answer["item_ids"])["item_ids"]
    if any(set(left) & (set(right) - {b""}) for left, right in zip(found, others.numpy(), strict=True)):
        return "Expected excluded items not to be returned. Received: one of them"
    return ""


def main(index_dir: str, probes_dir: str) -> int:
    """Prints the result of the check; returns the exit code."""
    probes = json.loads(Path(probes_dir, "probes.json").read_text(encoding="utf-8"))
    wrong = check(index_dir, **probes, exact=np.load(Path(probes_dir, "exact.npy")))
    print(wrong or "the index returns the exact scores")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
