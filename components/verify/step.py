"""The model trained on all splits -> whether it is what the evaluated one promised.

It cannot be scored on held-out sessions, since it was trained on all of them. What can be known without them is
checked.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from components.core import schema_versions
from components.core.events import SPLITS, describe_split, read_split
from components.core.literal_paths import literal_path
from components.core.machine import configure_tensorflow
from components.core.model_scores import model_scores
from components.core.ranking import rank_targets
from components.core.saved_model import embed_catalogue, read_training
from components.core.sequences import Sessions
from components.core.vocabulary import Vocabulary
from components.verify.parameters import VerifyParameters

K = 20
NUM_SESSIONS = 1_000  # the newest ones
LARGEST = "score_difference", "p99_ms"


class VerificationError(RuntimeError):
    """The model trained on all splits is not what the evaluated one promised, and is not published."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model and the items that it knows."""

    model_dir: Path
    vocabulary_path: Path


def verify(
    events_dir: Path,
    refitted: Candidate,
    evaluated: Candidate,
    index_check_path: Path,
    verification_path: Path,
    parameters: VerifyParameters,
) -> dict[str, Any]:
    """Checks the refitted model, and writes what was measured.

    Args:
        events_dir: the events artifact.
        refitted: the model trained on all splits.
        evaluated: the model that has passed the gate.
        index_check_path: index_check.json of the export of the refitted model.
        verification_path: JSON file to write.
        parameters: the bounds.

    Returns:
        The document that was written: `schema_version`, `num_items`, `num_evaluated_items`, `num_sessions` (of the
        comparison), `overlap`, `epochs`, `trained_until` and, of the index, `index_recall`, `p99_ms` and
        `score_difference`.

    Raises:
        VerificationError: a check fails; the message names all that do.
        ValueError: an embedding is not finite, or an artifact cannot be read.
    """
    configure_tensorflow()
    events = {split: read_split(events_dir, split) for split in SPLITS}
    vocabularies = [Vocabulary.read(each.vocabulary_path) for each in (refitted, evaluated)]
    ours, theirs = (read_training(each.model_dir) for each in (refitted, evaluated))
    index_check = json.loads(index_check_path.read_text(encoding="utf-8"))
    best = [
        find_best(each.model_dir, vocabulary, events["test"])
        for each, vocabulary in zip((refitted, evaluated), vocabularies, strict=True)
    ]
    document = {
        "schema_version": schema_versions.VERIFICATION,
        "num_items": vocabularies[0].num_items,
        "num_evaluated_items": vocabularies[1].num_items,
        "num_sessions": len(best[1]),
        "overlap": measure_overlap(*best),
        "epochs": len(ours["refit"]),
        "trained_until": ours["trained_until"],
        **{name: index_check[name] for name in ("index_recall", "p99_ms", "score_difference")},
    }
    verification_path.parent.mkdir(parents=True, exist_ok=True)
    verification_path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    newest = max(describe_split(split)["last_time"] for split in events.values())
    checks = {
        f"a vocabulary of every item of the log, as often as it occurs ({vocabularies[0].num_items:,} items found)": (
            _is_complete(vocabularies[0], events, parameters.min_item_count)
        ),
        "the training parameters of the evaluated model": ours["parameters"] == theirs["parameters"],
        f"{theirs['training']['best_epoch']:.0f} epochs, as the evaluated model; received {document['epochs']}": (
            document["epochs"] == theirs["training"]["best_epoch"]
        ),
        f"a model trained until {newest} ms, the newest event; received {document['trained_until']} ms": (
            document["trained_until"] == newest
        ),
        f"an index check of the test split of the events; received {index_check['test']}": (
            index_check["schema_version"] == schema_versions.INDEX_CHECK
            and index_check["test"] == describe_split(events["test"])
        ),
        **_judge(document, "overlap", parameters.refit_min_overlap),
        **_judge(document, "index_recall", parameters.gate_min_index_recall),
        **_judge(document, "p99_ms", parameters.gate_max_p99_ms),
        **_judge(document, "score_difference", parameters.gate_max_score_difference),
    }
    failed = [text for text, holds in checks.items() if not holds]
    if failed:
        raise VerificationError(
            f"The model trained on all splits was not published. Expected {'; expected '.join(failed)}. "
            "The published version stays as it is."
        )
    return document


def find_best(model_dir: Path, vocabulary: Vocabulary, test_events: pa.Table) -> list[set[str]]:
    """Finds the items that a model recommends to the newest sessions, each up to its last event.

    Args:
        model_dir: the SavedModel.
        vocabulary: the items that it knows.
        test_events: the test split, in the order of the events artifact.

    Returns:
        For each of the newest NUM_SESSIONS sessions with two events, the ids of the K best items.

    Raises:
        ValueError: an embedding is not finite.
    """
    sessions = Sessions.encode(test_events, vocabulary)
    last: npt.NDArray[np.int64] = sessions.offsets[1:][sessions.lengths > 1][-NUM_SESSIONS:] - 1
    max_length = read_training(model_dir)["parameters"]["max_session_length"]
    with literal_path(model_dir) as path:
        model = tf.saved_model.load(path)
        candidates = embed_catalogue(model, vocabulary)
        scores = model_scores(model, candidates, vocabulary, sessions, last, max_length=max_length)
    top = rank_targets(scores, sessions.items[last], num_items=vocabulary.num_items, top_k=K).top
    ids = np.array(vocabulary.item_ids.to_pylist(), dtype=object)
    return [set(ids[row - 1]) for row in top]


def measure_overlap(first: list[set[str]], second: list[set[str]]) -> float:
    """Returns the mean share of each set of `second` that is in the set of `first` at the same place."""
    shares = [len(ours & theirs) / len(theirs) for ours, theirs in zip(first, second, strict=True)]
    return float(np.mean(shares)) if shares else 0.0


def _is_complete(vocabulary: Vocabulary, events: dict[str, pa.Table], min_item_count: int) -> bool:
    item_ids = pa.chunked_array(
        [chunk for split in events.values() for chunk in split["item_id"].cast(pa.string()).chunks]
    )
    counts = item_ids.value_counts()
    frequent = counts.filter(pc.greater_equal(counts.field("counts"), min_item_count))
    expected = dict(zip(frequent.field("values").to_pylist(), frequent.field("counts").to_pylist(), strict=True))
    return expected == dict(zip(vocabulary.item_ids.to_pylist(), vocabulary.counts.tolist(), strict=True))


def _judge(document: dict[str, Any], name: str, bound: float) -> dict[str, bool]:
    value = document[name]
    is_number = isinstance(value, int | float) and math.isfinite(value)
    if name in LARGEST:
        return {f"{name} of at most {bound:g}; received {value}": is_number and value <= bound}
    return {f"{name} of at least {bound:g}; received {value}": is_number and value >= bound}
