"""SavedModel and test sessions -> metrics of the model and of the baselines."""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from components.core import schema_versions
from components.core.events import describe_split, read_split
from components.core.literal_paths import literal_path
from components.core.machine import configure_tensorflow
from components.core.metrics import (
    Bootstrap,
    Ranks,
    all_gains,
    coverage,
    mean_popularity_percentile,
    summarize,
)
from components.core.model_scores import model_scores
from components.core.progress import Progress
from components.core.quiet_start import list_devices
from components.core.ranking import NEVER, rank_targets
from components.core.saved_model import embed_catalogue, read_training
from components.core.sequences import Sessions, target_events
from components.core.vocabulary import UNKNOWN, Vocabulary
from components.evaluate.baselines import make_baselines
from components.evaluate.champion import compare_with_champion
from components.evaluate.origin import describe_origin
from components.evaluate.parameters import EvaluateParameters
from components.evaluate.prefixes import Prefixes
from components.evaluate.ranks import write_ranks
from components.evaluate.sparse_ranking import rank_sparse

SAMPLE_SEED = 0  # seed for sampling test sessions; fixed, so that all models are tested on the same sessions
DETAIL_K = 20  # cut-off of breakdowns, coverage and popularity bias


def evaluate(
    events_dir: Path,
    vocabulary_path: Path,
    model_dir: Path,
    metrics_path: Path,
    parameters: EvaluateParameters,
    *,
    ranks_path: Path | None = None,
) -> dict[str, Any]:
    """Ranks every target of the test sessions among the whole catalogue, for the model and the baselines.

    If a serving location is given, the model is also compared with the published one.

    A target that is not in the vocabulary counts as a miss in `model` and `baselines` and is excluded from
    `known_targets`.

    Args:
        events_dir: the events artifact.
        vocabulary_path: the vocabulary artifact.
        model_dir: the SavedModel.
        metrics_path: JSON file to write.
        parameters: the evaluation parameters.
        ranks_path: Parquet file to write the rank of each target to; None to write none.

    Returns:
        The document that was written.

    Raises:
        ValueError: no test session contains a target.
    """
    configure_tensorflow()
    list_devices()
    vocabulary = Vocabulary.read(vocabulary_path)
    test_events = read_split(events_dir, "test")
    tested = Sessions.encode(test_events, vocabulary)

    def sample(sessions: Sessions) -> Sessions:
        return sessions.sample(parameters.max_test_targets, seed=SAMPLE_SEED)

    sessions = sample(tested)
    events = target_events(sessions, min_prefix=parameters.min_prefix)
    if len(events) == 0:
        raise ValueError(
            f"Expected test sessions with at least {parameters.min_prefix + 1} events. "
            f"Received: {sessions.num_sessions} sessions, the longest with {sessions.lengths.max()}"
        )
    training = read_training(model_dir)
    trained_on = _training_sessions(events_dir, vocabulary, include_valid=training["parameters"]["refit"])
    max_length = training["parameters"]["max_session_length"]
    targets, num_items = sessions.items[events], vocabulary.num_items
    with literal_path(model_dir) as path:
        model = tf.saved_model.load(path)
        candidates = embed_catalogue(model, vocabulary)
        scores = model_scores(model, candidates, vocabulary, sessions, events, max_length=max_length)
    prefixes = Prefixes.before(sessions, events, max_length=max_length)
    baselines = make_baselines(trained_on, prefixes, num_items=num_items)
    progress = Progress(len(targets) * (1 + len(baselines)))

    def ranked(name: str) -> Callable[[int], None]:
        return lambda num_targets: progress.advance(num_targets, f"{name}: {len(targets):,} targets")

    on_ranked = ranked("model")
    rankings = {"model": rank_targets(scores, targets, num_items=num_items, top_k=DETAIL_K, on_ranked=on_ranked)}
    for name, fit in baselines.items():
        rankings[name] = rank_sparse(fit(), targets, top_k=DETAIL_K, on_ranked=ranked(name))
    ranks = {name: ranking.ranks for name, ranking in rankings.items()}
    is_known = ranks["model"] != NEVER
    position = events - sessions.offsets[np.searchsorted(sessions.offsets, events, side="right") - 1]
    ks = parameters.evaluate_ks
    champion, champion_ranks = compare_with_champion(
        parameters.serving_uri, test_events, sample, ranks["model"], min_prefix=parameters.min_prefix
    )
    document = {
        "schema_version": schema_versions.METRICS,
        "origin": describe_origin(events_dir),
        "test": describe_split(test_events),
        "num_targets": len(events),
        "num_targets_in_split": len(target_events(tested, min_prefix=parameters.min_prefix)),
        "num_unknown_targets": int((~is_known).sum()),
        "num_sessions": sessions.num_sessions,
        "num_unknown_sessions": count_unknown_sessions(events_dir, sessions),
        "num_items": vocabulary.num_items,
        "min_prefix": parameters.min_prefix,
        **_split_off_model({name: summarize(each, ks) for name, each in ranks.items()}),
        "known_targets": _split_off_model(
            {name: summarize(each[is_known], ks) for name, each in ranks.items()} if is_known.any() else {}
        ),
        "intervals": _intervals(ranks, events - position, ks),
        "by_repeat": _breakdown(ranks["model"], group_by_repeat(sessions, events)),
        "by_prefix_length": _breakdown(ranks["model"], group_by_prefix(position)),
        "by_target_popularity": _breakdown(ranks["model"], group_by_popularity(sessions.items[events], vocabulary)),
        f"coverage@{DETAIL_K}": {
            name: coverage(ranking.top, num_items=vocabulary.num_items) for name, ranking in rankings.items()
        },
        f"popularity_percentile@{DETAIL_K}": {
            name: mean_popularity_percentile(ranking.top, vocabulary.counts) for name, ranking in rankings.items()
        },
        "champion": champion,
        **training,
    }
    if ranks_path is not None:
        write_ranks({**ranks, "champion": champion_ranks}, sessions, events, ranks_path)
    metrics_path.parent.mkdir(parents=True, exist_ok=True)
    metrics_path.write_text(json.dumps(document, indent=2))
    return document


def describe(document: dict[str, Any]) -> str:
    """Returns the model's recall and MRR at 20, or at the highest cut-off, beside the best baseline's, in one line."""
    model, baselines = document["model"], document["baselines"]
    k = DETAIL_K if f"recall@{DETAIL_K}" in model else max(int(name.partition("@")[2]) for name in model)
    best = max(baselines, key=lambda name: baselines[name][f"recall@{k}"])
    figures = (
        f"recall@{k} {model[f'recall@{k}']:.3f}, MRR@{k} {model[f'mrr@{k}']:.3f} on {document['num_targets']:,} targets"
    )
    return f"{figures}  ({best}: {baselines[best][f'recall@{k}']:.3f}, {baselines[best][f'mrr@{k}']:.3f})"


def _training_sessions(events_dir: Path, vocabulary: Vocabulary, *, include_valid: bool) -> Sessions:
    sessions = Sessions.encode(read_split(events_dir, "train"), vocabulary)
    if not include_valid:
        return sessions
    return Sessions.concatenate(sessions, Sessions.encode(read_split(events_dir, "valid"), vocabulary))


def _split_off_model(summaries: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {"model": summaries.pop("model", {}), "baselines": summaries}


def _intervals(ranks: dict[str, Ranks], session: npt.NDArray[np.int64], ks: Sequence[int]) -> dict[str, Any]:
    """95% intervals of the model's metrics, and of the paired differences between model and each baseline."""
    bootstrap = Bootstrap(session)
    gains = {name: all_gains(each, ks) for name, each in ranks.items()}
    model = gains.pop("model")
    return {
        "model": {name: bootstrap.interval(each) for name, each in model.items()},
        "ahead_of": {
            baseline: {name: bootstrap.interval(each - others[name]) for name, each in model.items()}
            for baseline, others in gains.items()
        },
    }


def _breakdown(ranks: Ranks, groups: dict[str, npt.NDArray[np.bool_]]) -> dict[str, Any]:
    return {
        name: {"num_targets": int(group.sum()), **summarize(ranks[group], [DETAIL_K])}
        for name, group in groups.items()
        if group.any()
    }


def group_by_repeat(sessions: Sessions, events: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.bool_]]:
    """Groups targets by whether their item stands in the session before them; unknown items are others."""
    session = np.repeat(np.arange(sessions.num_sessions), sessions.lengths)
    key = session * (int(sessions.items.max()) + 1) + sessions.items
    is_first = np.zeros(len(key), np.bool_)
    is_first[np.unique(key, return_index=True)[1]] = True
    is_repeat = ~is_first[events] & (sessions.items[events] != UNKNOWN)
    return {"repeats": is_repeat, "others": ~is_repeat}


def group_by_prefix(length: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.bool_]]:
    """Groups targets by the number of events before them in the session."""
    bounds = (1, 2, 3, 5, 10, 20)
    groups = {}
    for low, high in itertools.zip_longest(bounds, bounds[1:]):
        name = f"{low}+" if high is None else f"{low}" if high == low + 1 else f"{low}-{high - 1}"
        groups[name] = (length >= low) & (length < (high or np.inf))
    return groups


def group_by_popularity(targets: npt.NDArray[np.int32], vocabulary: Vocabulary) -> dict[str, npt.NDArray[np.bool_]]:
    """Groups known targets by popularity: head, torso and tail items each account for a third of all events."""
    share_before = (np.cumsum(vocabulary.counts) - vocabulary.counts) / vocabulary.counts.sum()
    third = np.append(-1, np.minimum(3 * share_before, 2).astype(np.int64))[targets]
    return {name: third == number for number, name in enumerate(("head", "torso", "tail"))}


def count_unknown_sessions(events_dir: Path, sessions: Sessions) -> int:
    """Counts the sessions that are not in the train split."""
    trained = pc.unique(read_split(events_dir, "train")["session_id"].cast(pa.string()))
    return sessions.num_sessions - int(pc.sum(pc.is_in(sessions.session_ids, value_set=trained)).as_py())
