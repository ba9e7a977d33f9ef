"""Test sessions to look at, good and bad ones, with what the model and the strongest baseline recommended."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.core import schema_versions
from components.core.metrics import Ranks
from components.core.ranking import NEVER, ScoreTile
from components.core.sequences import Sessions
from components.core.vocabulary import Vocabulary
from components.evaluate.ranks import hash_ids
from components.evaluate.sparse_ranking import SparseScores

TOP_K = 10
HISTORY = 12  # number of newest events of a session that an example shows
SEED = 0

# What the examples show, and how many sessions of each kind.
KINDS = {"new_hits": 4, "model_better": 4, "baseline_better": 4, "repeats": 2, "missed": 4, "unknown": 2}


def choose_examples(
    ranks: Ranks, baseline_ranks: Ranks, is_repeat: npt.NDArray[np.bool_], session: npt.NDArray[np.int64]
) -> dict[str, list[int]]:
    """Draws targets of each kind at random, with a fixed seed, at most one of each session.

    Kinds, in this order, where a hit is a rank of at most TOP_K and a miss one above 2 * TOP_K:
        new_hits: hits of the model, of items that are new to the session.
        model_better: hits of the model that the baseline misses.
        baseline_better: hits of the baseline that the model misses.
        repeats: items of the session itself.
        missed: known items that both miss.
        unknown: items that are not in the vocabulary.

    Args:
        ranks: [num_targets] ranks of the model.
        baseline_ranks: [num_targets] ranks of the baseline.
        is_repeat: [num_targets] whether the target's item stands in the session before it.
        session: [num_targets] session of each target.

    Returns:
        Numbers of the targets by kind. A kind with too few targets has fewer than KINDS says.
    """
    known = ranks != NEVER
    hit, baseline_hit = ranks <= TOP_K, baseline_ranks <= TOP_K
    miss, baseline_miss = ranks > 2 * TOP_K, baseline_ranks > 2 * TOP_K
    belongs = {
        "new_hits": hit & ~is_repeat,
        "model_better": hit & baseline_miss,
        "baseline_better": miss & baseline_hit,
        "repeats": is_repeat,
        "missed": miss & baseline_miss & known,
        "unknown": ~known,
    }
    order = np.random.default_rng(SEED).permutation(len(ranks))
    chosen: dict[str, list[int]] = {}
    used: set[int] = set()
    # Rare kinds choose first: a session that could show them may not be spent on a common one.
    for kind in sorted(KINDS, key=lambda kind: int(belongs[kind].sum())):
        found: list[int] = []
        for target in order[belongs[kind][order]].tolist():
            if len(found) < KINDS[kind] and int(session[target]) not in used:
                found.append(target)
                used.add(int(session[target]))
        chosen[kind] = found
    return {kind: chosen[kind] for kind in KINDS}


def write_examples(
    chosen: Mapping[str, list[int]],
    *,
    baseline: str,
    ranks: Mapping[str, Ranks],
    scores: ScoreTile,
    baseline_scores: SparseScores,
    vocabulary: Vocabulary,
    sessions: Sessions,
    events: npt.NDArray[np.int64],
    test_items: pa.ChunkedArray,
    rows: npt.NDArray[np.int64],
    path: Path,
) -> None:
    """Writes the examples as JSON.

    `examples` has an entry per target: `kind`; `session`, the hash in ranks.parquet; `position`, the number of events
    before the target; `history`, the ids of the newest HISTORY of them, oldest first; `target`, its id; `rank` and
    `baseline_rank`, null for an unknown item; `model_top` and `baseline_top`, the TOP_K ids with the highest scores.

    Args:
        chosen: numbers of the targets by kind.
        baseline: name of the strongest baseline.
        ranks: [num_targets] ranks by name of the model and the baselines.
        scores: scores of the model, for slices of the targets.
        baseline_scores: scores of the baseline.
        vocabulary: the catalogue.
        sessions: the test sessions.
        events: [num_targets] indices of the targets in `sessions.items`.
        test_items: item ids of the test split, those of unknown items too.
        rows: [num_targets] indices of the targets in `test_items`.
        path: the file to write.
    """
    session = np.searchsorted(sessions.offsets, events, side="right") - 1
    shown = [target for targets in chosen.values() for target in targets]
    hashes = hash_ids(sessions.session_ids.take(pa.array(session[shown])))
    entries: list[dict[str, Any]] = []
    for kind, targets in chosen.items():
        for target in targets:
            position = int(events[target] - sessions.offsets[session[target]])
            length = min(position, HISTORY)
            row, tile = int(rows[target]), slice(target, target + 1)
            baseline_tile = baseline_scores.shared + baseline_scores.added(tile).toarray()[0]
            entries.append(
                {
                    "kind": kind,
                    "session": int(hashes[len(entries)]),
                    "position": position,
                    "history": test_items.slice(row - length, length).to_pylist(),
                    "target": test_items[row].as_py(),
                    "rank": _rank(ranks["model"][target]),
                    "baseline_rank": _rank(ranks[baseline][target]),
                    "model_top": _best(scores(tile)[0], vocabulary),
                    "baseline_top": _best(baseline_tile, vocabulary),
                }
            )
    document = {"schema_version": schema_versions.EXAMPLES, "baseline": baseline, "examples": entries}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2))


def _rank(rank: np.int64) -> int | None:
    return None if rank == NEVER else int(rank)


def _best(scores: npt.NDArray[np.float32], vocabulary: Vocabulary) -> list[Any]:
    """Returns the ids with the highest scores, the highest first; among ties the more popular item."""
    order = np.argsort(-scores, kind="stable")[:TOP_K]
    ids: list[Any] = vocabulary.item_ids.take(pa.array(order)).to_pylist()
    return ids
