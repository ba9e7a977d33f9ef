"""Run as a script in a fresh process: does the index on disk return what exact scores say?

It imports TensorFlow and nothing of this project, as a server would.
"""

import sys

import numpy as np
import numpy.typing as npt
import tensorflow as tf

TOLERANCE = 1e-4  # of the largest score: float32 products summed in another order


def check(
    index_dir: str,
    sessions: npt.NDArray[np.str_],
    item_ids: npt.NDArray[np.str_],
    exact: npt.NDArray[np.float32],
    k: int,
) -> str:
    """Compares the index with exact scores.

    Args:
        index_dir: the SavedModel.
        sessions: [num_sessions, length] item ids to ask for, padded with "".
        item_ids: [num_items] the catalogue.
        exact: [num_sessions, num_items] scores.
        k: how many items to ask for.

    Returns:
        What is wrong, or "".
    """
    recommend = tf.saved_model.load(index_dir).signatures["serving_default"]
    nothing = tf.constant([], tf.string, shape=[len(sessions), 0])
    answer = recommend(item_ids=tf.constant(sessions), k=tf.constant(k), exclude_ids=nothing)
    found, scores = answer["item_ids"].numpy().astype(str), answer["scores"].numpy()
    tolerance = TOLERANCE * np.abs(exact).max()
    best = -np.sort(-exact, axis=1)[:, :k]
    if scores.shape != best.shape or not np.allclose(scores, best, atol=tolerance):
        return f"Expected the best exact scores {best[0, :3]} ... Received: {scores[0, :3]} ..."
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    rows = np.array([[row_of[item_id] for item_id in session] for session in found])
    if not np.allclose(scores, np.take_along_axis(exact, rows, axis=1), atol=tolerance):
        return f"Expected each item with its own exact score. Received: other scores for {found[0, :3]} ..."
    excluded = answer["item_ids"][:, :1]
    if tf.reduce_any(
        recommend(item_ids=tf.constant(sessions), k=tf.constant(k), exclude_ids=excluded)["item_ids"] == excluded
    ):
        return "Expected excluded items not to be returned. Received: one of them"
    return ""


if __name__ == "__main__":
    with np.load(sys.argv[2]) as probes:
        wrong = check(sys.argv[1], probes["sessions"], probes["item_ids"], probes["exact"], int(probes["k"]))
    print(wrong or "the index returns the exact scores")
    sys.exit(1 if wrong else 0)
