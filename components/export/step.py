"""SavedModel -> top-k index and the candidate embeddings."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.core.events import read_split
from components.core.machine import limit_tensorflow_threads
from components.core.saved_model import embed_catalogue
from components.core.vocabulary import Vocabulary
from components.export.index import Index

NUM_PROBES = 64
PROBE_K = 20


def export(events_dir: Path, vocabulary_path: Path, model_dir: Path, index_dir: Path, embeddings_path: Path) -> int:
    """Writes the index, checks it in a fresh process, and writes the candidate embeddings.

    Args:
        events_dir: the events artifact; sessions of its test split are the probes of the check.
        vocabulary_path: the vocabulary artifact.
        model_dir: the SavedModel of both towers.
        index_dir: where to write the index.
        embeddings_path: Parquet file to write, with item_id and embedding.

    Returns:
        How many items the index holds.

    Raises:
        RuntimeError: the index on disk does not return what exact scores say.
    """
    limit_tensorflow_threads()
    vocabulary = Vocabulary.read(vocabulary_path)
    model = tf.saved_model.load(str(model_dir))
    candidates = embed_catalogue(model, vocabulary)
    Index(model, item_ids=vocabulary.item_ids, candidates=candidates).save(index_dir)
    probes = _probes(events_dir)
    queries = model.query(tf.fill([len(probes)], ""), tf.constant(probes))["embedding"].numpy()
    _check(index_dir, probes, vocabulary.item_ids.to_pylist(), queries @ candidates.T)
    write_embeddings(vocabulary.item_ids, candidates, embeddings_path)
    return vocabulary.num_items


def _probes(events_dir: Path) -> list[list[str]]:
    """Sessions of the test split, padded to one length."""
    events = read_split(events_dir, "test")
    sessions: dict[str, list[str]] = {}
    for session_id, item_id in zip(events["session_id"].to_pylist(), events["item_id"].to_pylist(), strict=True):
        if session_id not in sessions and len(sessions) == NUM_PROBES:
            break
        sessions.setdefault(session_id, []).append(item_id)
    length = max(map(len, sessions.values()))
    return [items + [""] * (length - len(items)) for items in sessions.values()]


def _check(index_dir: Path, sessions: list[list[str]], item_ids: list[str], exact: npt.NDArray[np.float32]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        probes_path = Path(scratch, "probes.npz")
        k = min(PROBE_K, len(item_ids))
        np.savez(probes_path, sessions=np.array(sessions), item_ids=np.array(item_ids), exact=exact, k=k)
        # -I: neither this project nor the working directory is on the path of that process.
        command = [sys.executable, "-I", str(Path(__file__).with_name("check.py")), str(index_dir), str(probes_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"The index in {index_dir} failed its check. {done.stdout}{done.stderr[-2000:]}")


def write_embeddings(item_ids: pa.StringArray, candidates: npt.NDArray[np.float32], path: Path) -> None:
    """Writes item_id and embedding (a fixed-size list of float32) for other vector stores."""
    values = pa.array(candidates.ravel(), pa.float32())
    embedding = pa.FixedSizeListArray.from_arrays(values, candidates.shape[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"item_id": item_ids, "embedding": embedding}), path)
