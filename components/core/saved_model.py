"""Reads the SavedModels that `train` and `export` write."""

import importlib
import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from components.core.literal_paths import literal_path
from components.core.machine import configure_tensorflow
from components.core.run_artifacts import SAVED_MODEL, TRAINING_FILE, describe_missing_index
from components.core.vocabulary import Vocabulary

SCANN_OPERATION = "Scann>"
INT32_MAX = np.iinfo(np.int32).max
# What TensorFlow raises about files of a SavedModel; IndexError for one that is too short.
_DAMAGES = (IndexError, OSError, tf.errors.OpError)


def read_training(model_dir: Path) -> dict[str, Any]:
    """Reads the training metadata of a model.

    Keys: `parameters`, `training`, `selection`, `refit`, `trained_until`, `data_sha256`, `started_from`, `pointer`,
    `checkpoint_dir`.
    """
    training: dict[str, Any] = json.loads((model_dir / TRAINING_FILE).read_text())
    return training


def read_meta_graph(model_dir: Path) -> Any:
    """Reads the graph and the signatures of a SavedModel, a MetaGraphDef.

    Raises:
        FileNotFoundError: there is no SavedModel.
        OSError: it cannot be read.
    """
    path = model_dir / SAVED_MODEL
    if not path.is_file():
        raise FileNotFoundError(describe_missing_index(model_dir))
    try:
        return saved_model_pb2.SavedModel.FromString(path.read_bytes()).meta_graphs[0]
    except (DecodeError, IndexError) as error:
        raise OSError(f"Expected {path} to be a SavedModel. Received: {error}. Copy or export it again.") from error


def load_index(index_dir: Path, *, signatures: Iterable[str]) -> Any:
    """Loads an index; its search may need the operations of ScaNN.

    Args:
        index_dir: the SavedModel.
        signatures: names of the signatures that are needed.

    Raises:
        FileNotFoundError: the folder has no SavedModel, or the index needs the package scann, which is not installed.
        OSError: the SavedModel is damaged or incomplete.
        ValueError: the SavedModel is not an index with these signatures.
    """
    graph = read_meta_graph(index_dir)
    found = [name for name in graph.signature_def if not name.startswith("__")]
    if not set(signatures) <= set(found):
        expected = f"Expected the folder of an index, which export writes with the signatures {', '.join(signatures)}."
        if "query" in found:
            raise ValueError(
                f"{expected} Received: {index_dir}, which holds the towers; the index is the folder `index` of the "
                "same run"
            )
        raise ValueError(
            f"{expected} Received: {index_dir} with the signatures {', '.join(sorted(found)) or 'none'}; export it "
            "again"
        )
    configure_tensorflow()
    if _needs_scann(graph.graph_def):
        try:
            importlib.import_module("scann.scann_ops.py.scann_ops")  # registers them with TensorFlow
        except ModuleNotFoundError as error:
            raise FileNotFoundError(
                f"The index {index_dir} was exported with index_kind scann, which needs the package scann. Install "
                f"scann 1.4.2. Received: {error}"
            ) from error
    del graph  # it holds the ids of all items
    try:
        with literal_path(index_dir) as path:
            return tf.saved_model.load(path)
    except tf.errors.ResourceExhaustedError:
        raise
    except _DAMAGES as error:
        is_missing = isinstance(error, (FileNotFoundError, tf.errors.NotFoundError))
        reason = "a file in it is missing" if is_missing else str(error).partition("\n")[0]
        raise OSError(f"The index {index_dir} is damaged or incomplete: {reason}. Copy or export it again.") from error


def _needs_scann(graph: Any) -> bool:
    nodes = itertools.chain(graph.node, *(function.node_def for function in graph.library.function))
    return any(node.op.startswith(SCANN_OPERATION) for node in nodes)


def list_catalogue(signatures: Mapping[str, Any]) -> pa.StringArray:
    """Returns the ids of all items of a loaded index, from the most popular one.

    Args:
        signatures: those of the index.
    """
    nothing = tf.constant([[""]])
    answer = signatures["recommend"](item_ids=nothing, k=tf.constant([INT32_MAX]), exclude_ids=nothing)
    return pa.array(answer["item_ids"].numpy()[0].tolist(), pa.binary()).cast(pa.string())


def embed_catalogue(saved_model: Any, vocabulary: Vocabulary) -> npt.NDArray[np.float32]:
    """Embeds every item with the candidate tower of a loaded SavedModel.

    Returns:
        [num_items, dimension]; row i belongs to index i + 1. `dimension` is `embedding_dim`, plus 1 with a trend.
    """
    ids = vocabulary.item_ids.to_pylist()
    size = 65_536
    parts = [ids[begin : begin + size] for begin in range(0, len(ids), size)]
    return np.concatenate([saved_model.candidate(tf.constant(part))["embedding"].numpy() for part in parts])


def score_by_popularity(num_items: int) -> npt.NDArray[np.float32]:
    """Returns the scores after a session without any known item, [num_items].

    The vocabulary is sorted by descending count; the score is 1 / position, so it is different for each item.
    """
    return (1.0 / np.arange(1, num_items + 1)).astype(np.float32)
