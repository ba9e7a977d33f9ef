"""SavedModel and test sessions -> metrics, beside the baselines'."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from components.core import baselines
from components.core.events import read_split
from components.core.metrics import summarize
from components.core.model import TRAINING_FILE, embed_catalogue
from components.core.ranking import NEVER, Floats, ScoreTile, dot_product, rank_targets
from components.core.sequences import Sessions, prefix_batches, target_events
from components.core.vocabulary import Vocabulary

BATCH_SIZE = 65_536  # positions


@dataclass(frozen=True, kw_only=True)
class EvaluateParameters:
    """Parameters of the `evaluate` step.

    Attributes:
        ks: cut-offs of the metrics.
        min_prefix: how many events must come before a target in its session.
    """

    ks: Sequence[int] = (1, 5, 10, 20, 50, 100)
    min_prefix: int = 1

    def __post_init__(self) -> None:
        if not self.ks or min(self.ks) < 1:
            raise ValueError(f"Expected ks to be cut-offs of at least 1. Received: {list(self.ks)}")
        if self.min_prefix < 1:
            raise ValueError(f"Expected min_prefix to be at least 1. Received: {self.min_prefix}")


def evaluate(
    events_dir: Path,
    vocabulary_path: Path,
    model_dir: Path,
    metrics_path: Path,
    parameters: EvaluateParameters,
) -> dict[str, Any]:
    """Ranks every target of the test sessions among the whole catalogue.

    A target that is not in the vocabulary cannot be found: it is a miss in `model` and `baselines` and left out
    of `known_targets`.

    Args:
        events_dir: the events artifact.
        vocabulary_path: the vocabulary artifact.
        model_dir: the SavedModel.
        metrics_path: JSON file to write.
        parameters: what to count.

    Returns:
        The document that was written.

    Raises:
        ValueError: no test session holds a target.
    """
    vocabulary = Vocabulary.read(vocabulary_path)
    sessions = Sessions.encode(read_split(events_dir, "test"), vocabulary)
    events = target_events(sessions, min_prefix=parameters.min_prefix)
    if len(events) == 0:
        raise ValueError(
            f"Expected test sessions with at least {parameters.min_prefix + 1} events. "
            f"Received: {sessions.num_sessions} sessions, the longest with {sessions.lengths.max()}"
        )
    targets = sessions.items[events]
    scorers = {
        "model": model_scores(model_dir, vocabulary, sessions, events),
        "popularity": baselines.popularity(vocabulary, len(targets)),
    }
    ranks = {name: rank_targets(score, targets, num_items=vocabulary.num_items) for name, score in scorers.items()}
    is_known = ranks["model"] != NEVER
    document = {
        "num_targets": len(targets),
        "num_unknown_targets": int((~is_known).sum()),
        "num_sessions": sessions.num_sessions,
        "num_unknown_sessions": count_unknown_sessions(events_dir, sessions),
        "num_items": vocabulary.num_items,
        "min_prefix": parameters.min_prefix,
        **_summaries(ranks, parameters.ks),
        "known_targets": _summaries({name: each[is_known] for name, each in ranks.items()}, parameters.ks)
        if is_known.any()
        else {},
        **json.loads((model_dir / TRAINING_FILE).read_text()),
    }
    metrics_path.parent.mkdir(parents=True, exist_ok=True)
    metrics_path.write_text(json.dumps(document, indent=2))
    return document


def _summaries(ranks: dict[str, npt.NDArray[np.int64]], ks: Sequence[int]) -> dict[str, Any]:
    summaries = {name: summarize(each, ks) for name, each in ranks.items()}
    return {"model": summaries.pop("model"), "baselines": summaries}


def count_unknown_sessions(events_dir: Path, sessions: Sessions) -> int:
    """How many sessions were not among the training sessions."""
    trained = pc.unique(read_split(events_dir, "train")["session_id"].cast(pa.string()))
    return sessions.num_sessions - int(pc.sum(pc.is_in(sessions.session_ids, value_set=trained)).as_py())


def model_scores(
    model_dir: Path, vocabulary: Vocabulary, sessions: Sessions, events: npt.NDArray[np.int64]
) -> ScoreTile:
    """Scores of a SavedModel, which sees each prefix as serving would send it: as raw item ids.

    Args:
        model_dir: the SavedModel.
        vocabulary: gives the catalogue.
        sessions: the sessions that hold the targets.
        events: [num_targets] the targets, as indices into `sessions.items`.
    """
    model = tf.saved_model.load(str(model_dir))
    candidates = embed_catalogue(model, vocabulary)
    queries: Floats = np.empty((len(events), candidates.shape[1]), np.float32)
    row_of = np.empty(len(sessions.items), np.int64)
    row_of[events] = np.arange(len(events))
    # UNKNOWN, 0, reads as an id that no vocabulary holds; PADDING, -1, is the last entry.
    id_of = np.array(["\0", *vocabulary.item_ids.to_pylist(), ""], dtype=object)
    session_ids = np.array(sessions.session_ids.to_pylist(), dtype=object)
    longest = int(sessions.lengths.max())
    for batch in prefix_batches(sessions, events, max_length=longest, batch_size=BATCH_SIZE):
        embedding = model.query(tf.constant(session_ids[batch.session]), tf.constant(id_of[batch.items]))
        queries[row_of[batch.target]] = embedding["embedding"].numpy()
    return dot_product(queries, candidates)
