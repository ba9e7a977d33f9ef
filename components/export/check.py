"""Run as a script in a fresh process: does the index on disk return what exact scores say?

It imports TensorFlow and nothing of this project, as a server would.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

RELATIVE_TOLERANCE = 1e-4


def check(index_dir: str, probes: dict[str, Any]) -> str:
    """Compares the index with exact scores.

    Args:
        index_dir: the SavedModel.
        probes: `item_ids` [num_probes, length], `k`, and the exact `scores` [num_probes, k], best first.

    Returns:
        What is wrong, or "".
    """
    recommend = tf.saved_model.load(index_dir).signatures["serving_default"]
    item_ids = tf.constant(probes["item_ids"], tf.string)
    nothing = tf.constant([], tf.string, shape=[len(probes["item_ids"]), 0])
    k = tf.constant(probes["k"], tf.int32)
    answer = recommend(item_ids=item_ids, k=k, exclude_ids=nothing)
    scores, exact = answer["scores"].numpy(), np.asarray(probes["scores"], np.float32)
    if scores.shape != exact.shape:
        return f"Expected scores of shape {exact.shape}. Received: {scores.shape}"
    if not np.allclose(scores, exact, rtol=RELATIVE_TOLERANCE, atol=RELATIVE_TOLERANCE * np.abs(exact).max()):
        return f"Expected the exact scores {exact[0][:3]} ... Received: {scores[0][:3]} ..."
    without_best = recommend(item_ids=item_ids, k=k, exclude_ids=answer["item_ids"][:, :1])["item_ids"]
    if tf.reduce_any(without_best == answer["item_ids"][:, :1]):
        return "Expected excluded items not to be returned. Received: one of them"
    return ""


if __name__ == "__main__":
    wrong = check(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
    print(wrong or "the index returns the exact scores")
    sys.exit(1 if wrong else 0)
