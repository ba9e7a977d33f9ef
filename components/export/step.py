"""SavedModel -> top-k index and the candidate embeddings."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.core import schema_versions
from components.core.events import describe_split, read_split
from components.core.literal_paths import literal_path
from components.core.machine import configure_tensorflow
from components.core.model_scores import model_scores
from components.core.presentation import count_of
from components.core.ranking import ScoreTile
from components.core.saved_model import embed_catalogue, read_training
from components.core.sequences import Sessions
from components.core.vocabulary import Vocabulary
from components.export.index import Index
from components.export.parameters import ExportParameters
from components.export.search import choose_index_kind

NUM_PROBES = 64  # sessions for which every score is compared
NUM_QUERIES = 1_000  # sessions for which the best items are compared, one query at a time
PROBE_K = 20
# Relative to the query's largest score; float32 sums in another order may exchange items whose scores are closer.
TIE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Result of the export.

    Attributes:
        num_items: number of items in the index.
        embeddings: metadata of embeddings.parquet, from `describe_embeddings`.
        index_check: the document index_check.json: `schema_version`, `test` (`describe_split`), `index_kind`, what
            `components.export.check.measure` returns, `memory_bytes`, by which the index and its answers increased the
            memory of a process, and `size_bytes` of its files.
    """

    num_items: int
    index_check: dict[str, Any]
    embeddings: dict[str, Any]


def describe(exported: Exported) -> str:
    """Returns the size of the index, its recall against exact search and the time of a query, in one line."""
    check = exported.index_check
    figures = (
        f"{check['index_kind']}, recall {check['index_recall']:.3f} of exact search, {check['p50_ms']:.1f} ms a query"
    )
    return f"{count_of(exported.num_items, 'item')}, {figures}"


def export(
    events_dir: Path,
    vocabulary_path: Path,
    model_dir: Path,
    index_dir: Path,
    embeddings_path: Path,
    *,
    serving_k: int = ExportParameters.serving_k,
    index_kind: str = "brute_force",
    min_index_recall: float = 0.0,
) -> Exported:
    """Writes the index, checks it in a fresh process, and writes the candidate embeddings.

    Args:
        events_dir: the events artifact; the check queries the index with sessions of its test split.
        vocabulary_path: the vocabulary artifact.
        model_dir: the SavedModel of both towers.
        index_dir: folder to write the index to.
        embeddings_path: Parquet file to write, with item_id and embedding.
        serving_k: number of items that the signature `serving_default` of the index returns.
        index_kind: how the index searches, one of INDEX_KINDS; see also `choose_index_kind`.
        min_index_recall: minimum share of the best items that the index returns.

    Raises:
        ValueError: no test session has two events, or a parameter is out of bounds.
        RuntimeError: the results of the saved index differ from exact scores, it returns too few of the best items, or
            a package that it needs is missing.
    """
    ExportParameters(serving_k=serving_k, index_kind=index_kind, min_index_recall=min_index_recall)
    configure_tensorflow()
    vocabulary = Vocabulary.read(vocabulary_path)
    index_kind = choose_index_kind(index_kind, vocabulary.num_items)
    parameters = read_training(model_dir)["parameters"]
    max_length = parameters["max_session_length"]
    events = read_split(events_dir, "test")
    sessions = Sessions.encode(events, vocabulary)
    last = sessions.offsets[1:][sessions.lengths > 1] - 1
    if len(last) == 0:
        raise ValueError(
            "Expected test sessions with at least two events, to check the index with. "
            f"Received: {sessions.num_sessions} sessions with {len(sessions.items)} events in all"
        )
    queried = last[np.linspace(0, len(last) - 1, min(NUM_QUERIES, len(last)), dtype=np.int64)]
    # Saving the index copies the model's assets, so their path must stay valid until then.
    with literal_path(model_dir) as path:
        model = tf.saved_model.load(path)
        candidates = embed_catalogue(model, vocabulary)
        Index(
            model,
            vocabulary=vocabulary,
            candidates=candidates,
            embedding_dim=parameters["embedding_dim"],
            max_length=max_length,
            serving_k=serving_k,
            index_kind=index_kind,
        ).save(index_dir)
    scores = model_scores(model, candidates, vocabulary, sessions, queried, max_length=max_length)
    prefixes = _prefixes(events["item_id"], sessions, queried, max_length=max_length)
    is_exact = index_kind == "brute_force"
    measured = _check(index_dir, prefixes, vocabulary.item_ids.to_pylist(), scores, is_exact=is_exact)
    recall = measured["index_recall"]
    if recall < min_index_recall:
        raise RuntimeError(
            f"The index returns {recall:.4f} of the best items, less than min_index_recall, {min_index_recall}. "
            "Export it with index_kind brute_force, or with a lower min_index_recall."
        )
    description = describe_embeddings(parameters, dimension=candidates.shape[1])
    write_embeddings(vocabulary.item_ids, candidates, description, embeddings_path)
    index_check = {
        "schema_version": schema_versions.INDEX_CHECK,
        "test": describe_split(events),
        "index_kind": index_kind,
        **measured,
    }
    return Exported(num_items=vocabulary.num_items, index_check=index_check, embeddings=description)


def _prefixes(
    item_ids: pa.ChunkedArray, sessions: Sessions, events: npt.NDArray[np.int64], *, max_length: int
) -> list[list[str]]:
    """Returns the newest `max_length` item ids before each event."""
    begin = sessions.offsets[np.searchsorted(sessions.offsets, events, side="right") - 1]
    return [
        item_ids.slice(first, event - first).to_pylist()
        for first, event in zip(np.maximum(begin, events - max_length).tolist(), events.tolist(), strict=True)
    ]


def _check(
    index_dir: Path, sessions: list[list[str]], item_ids: list[str], scores: ScoreTile, *, is_exact: bool
) -> dict[str, Any]:
    """Checks the saved index in a fresh process; returns what was measured there."""
    probed = sessions[:NUM_PROBES]
    length = max(map(len, probed))
    k = min(PROBE_K, len(item_ids))
    best, largest = _find_best(scores, item_ids, num_queries=len(sessions), k=k)
    padded = [each + [""] * (length - len(each)) for each in probed]
    probes = {"sessions": padded, "item_ids": item_ids, "k": k, "exact": is_exact}
    queries = {"sessions": sessions, "best": best, "largest": largest, "k": k}
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "probes.json").write_text(json.dumps(probes), encoding="utf-8")
        Path(scratch, "queries.json").write_text(json.dumps(queries), encoding="utf-8")
        np.save(Path(scratch, "exact.npy"), scores(slice(0, len(probed))))
        # -I keeps this project and the working directory off the import path. The process runs inside the index, so
        # that TensorFlow does not interpret characters of the index's path as a glob pattern.
        script = str(Path(__file__).resolve().with_name("check.py"))
        done = subprocess.run(
            [sys.executable, "-I", script, ".", scratch],
            cwd=index_dir,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"The index in {index_dir} failed its check. {done.stdout}{done.stderr[-2000:]}")
        measured: dict[str, Any] = json.loads(Path(scratch, "measured.json").read_text(encoding="utf-8"))
    return measured


def _find_best(
    scores: ScoreTile, item_ids: list[str], *, num_queries: int, k: int
) -> tuple[list[dict[str, float]], float]:
    """Finds the items with the best exact scores.

    Args:
        scores: returns the scores [num_rows, num_items] of a slice of the queries.
        item_ids: [num_items] ids of the catalogue.
        num_queries: number of queries.
        k: number of items per query.

    Returns:
        For each query, the scores of its best `k` items and of those that tie with the last of them, by id; and the
        largest absolute score of all.
    """
    best, largest = [], 0.0
    for begin in range(0, num_queries, NUM_PROBES):
        for row in scores(slice(begin, min(begin + NUM_PROBES, num_queries))):
            magnitude = float(np.abs(row).max())
            columns = np.flatnonzero(row >= np.partition(row, len(row) - k)[len(row) - k] - TIE * magnitude)
            best.append({item_ids[column]: float(row[column]) for column in columns})
            largest = max(largest, magnitude)
    return best, largest


def describe_embeddings(parameters: Mapping[str, Any], *, dimension: int) -> dict[str, Any]:
    """Describes how to use the embeddings in other vector stores.

    Args:
        parameters: the training parameters.
        dimension: number of coordinates of an embedding.

    Returns:
        dimension: number of coordinates of an embedding.
        embedding_dim: number of leading coordinates that come from the candidate tower.
        trend_coordinate: position, from 0, of the last coordinate, which holds the trend; queries have 1 there. Absent
            if the model was trained without a trend.
        metric: similarity of a query and an embedding.
        normalized: whether the first `embedding_dim` coordinates of queries and embeddings are L2-normalised.
        temperature: softmax temperature; training divides the inner product by it.
        query: how to compute the query vector.
        bonus: what to add to the scores of the session's own items. Absent if the model was trained without a pointer.
    """
    description = {
        "dimension": dimension,
        "embedding_dim": parameters["embedding_dim"],
        "metric": "inner_product",
        "normalized": parameters["normalize"],
        "temperature": parameters["temperature"],
        "query": "signature `query` of the model artifact",
    }
    if parameters["pointer"]:
        description["bonus"] = "output `bonus` of the same signature, for the items of the session"
    if dimension > parameters["embedding_dim"]:
        description["trend_coordinate"] = dimension - 1
    return description


def write_embeddings(
    item_ids: pa.StringArray, candidates: npt.NDArray[np.float32], description: Mapping[str, Any], path: Path
) -> None:
    """Writes item_id and embedding (a fixed-size list of float32) for other vector stores.

    Args:
        item_ids: [num_items] ids of the catalogue.
        candidates: [num_items, dimension] candidate embeddings.
        description: metadata of the Parquet schema; each value is stored as JSON.
        path: file to write.
    """
    values = pa.array(candidates.ravel(), pa.float32())
    embedding = pa.FixedSizeListArray.from_arrays(values, candidates.shape[1])
    table = pa.table({"item_id": item_ids, "embedding": embedding})
    table = table.replace_schema_metadata({name: json.dumps(value) for name, value in description.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
