"""SavedModel and test sessions -> metrics of the model and of the baselines."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import tensorflow as tf

from components.core import schema_versions
from components.core.events import SPLITS, describe_split, read_split
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
from components.core.presentation import CUTOFF, choose_cutoff, count_of
from components.core.progress import Progress
from components.core.ranking import NEVER, Ranking, rank_targets
from components.core.saved_model import embed_catalogue, read_training
from components.core.sequences import Sessions, target_events
from components.core.vocabulary import Vocabulary
from components.evaluate.baselines import make_baselines
from components.evaluate.breakdowns import (
    NOT_SEEN,
    Groups,
    group_by_popularity,
    group_by_prefix,
    group_by_recency,
    group_by_repeat,
    group_intervals,
    summarize_groups,
)
from components.evaluate.champion import compare_with_champion
from components.evaluate.examples import choose_examples, write_examples
from components.evaluate.origin import describe_origin
from components.evaluate.parameters import EvaluateParameters
from components.evaluate.prefixes import Prefixes
from components.evaluate.ranks import write_ranks
from components.evaluate.sparse_ranking import rank_sparse

SAMPLE_SEED = 0  # seed for sampling test sessions; fixed, so that all models are tested on the same sessions
DETAIL_K = CUTOFF  # the cut-off of breakdowns, coverage and popularity bias


def evaluate(
    events_dir: Path,
    vocabulary_path: Path,
    model_dir: Path,
    metrics_path: Path,
    parameters: EvaluateParameters,
    *,
    ranks_path: Path | None = None,
    examples_path: Path | None = None,
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
        examples_path: JSON file to write test sessions with recommendations to; None to write none.

    Returns:
        The document that was written.

    Raises:
        ValueError: no test session contains a target.
    """
    configure_tensorflow()
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
    trained_on, last_seen = _training_sessions(events_dir, vocabulary, include_valid=training["parameters"]["refit"])
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
    strongest, strongest_scores = "", None
    for name, fit in baselines.items():
        fitted = fit()
        rankings[name] = rank_sparse(fitted, targets, top_k=DETAIL_K, on_ranked=ranked(name))
        if not strongest or _count_hits(rankings[name]) > _count_hits(rankings[strongest]):
            strongest, strongest_scores = name, fitted
    ranks = {name: ranking.ranks for name, ranking in rankings.items()}
    is_known = ranks["model"] != NEVER
    session = np.searchsorted(sessions.offsets, events, side="right") - 1
    position = events - sessions.offsets[session]
    sampled_from = pc.index_in(sessions.session_ids, value_set=tested.session_ids).to_numpy()
    rows = tested.offsets[sampled_from[session]] + position  # of the targets, in `test_events`
    repeats = group_by_repeat(sessions, events)
    groups = {
        "by_repeat": repeats,
        "by_prefix_length": group_by_prefix(position),
        "by_target_popularity": group_by_popularity(targets, vocabulary),
        "by_recency": group_by_recency(targets, test_events["time"].to_numpy()[rows], last_seen),
    }
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
        "num_items": vocabulary.num_items,
        "min_prefix": parameters.min_prefix,
        **_split_off_model({name: summarize(each, ks) for name, each in ranks.items()}),
        "known_targets": _split_off_model(
            {name: summarize(each[is_known], ks) for name, each in ranks.items()} if is_known.any() else {}
        ),
        "intervals": _intervals(ranks, session, ks, groups),
        **{name: summarize_groups(ranks["model"], each, DETAIL_K) for name, each in groups.items()},
        "strongest_baseline": {
            "name": strongest,
            **{name: summarize_groups(ranks[strongest], each, DETAIL_K) for name, each in groups.items()},
        },
        f"coverage@{DETAIL_K}": {
            name: coverage(ranking.top, num_items=vocabulary.num_items) for name, ranking in rankings.items()
        },
        f"popularity_percentile@{DETAIL_K}": {
            name: mean_popularity_percentile(ranking.top, vocabulary.counts) for name, ranking in rankings.items()
        },
        "champion": champion,
        **training,
    }
    if examples_path is not None and strongest_scores is not None:
        write_examples(
            choose_examples(ranks["model"], ranks[strongest], repeats["repeats"], session),
            baseline=strongest,
            ranks=ranks,
            scores=scores,
            baseline_scores=strongest_scores,
            vocabulary=vocabulary,
            sessions=sessions,
            events=events,
            test_items=test_events["item_id"],
            rows=rows,
            path=examples_path,
        )
    if ranks_path is not None:
        write_ranks({**ranks, "champion": champion_ranks}, sessions, events, ranks_path)
    metrics_path.parent.mkdir(parents=True, exist_ok=True)
    metrics_path.write_text(json.dumps(document, indent=2))
    return document


def describe(document: dict[str, Any]) -> str:
    """Returns the model's recall and MRR at 20, or at the highest cut-off, beside the best baseline's, in one line."""
    model, baselines = document["model"], document["baselines"]
    k = choose_cutoff(model)
    best = max(baselines, key=lambda name: baselines[name][f"recall@{k}"])
    figures = (
        f"recall@{k} {model[f'recall@{k}']:.3f}, MRR@{k} {model[f'mrr@{k}']:.3f} on "
        f"{count_of(document['num_targets'], 'target')}"
    )
    return f"{figures}  ({best}: {baselines[best][f'recall@{k}']:.3f}, {baselines[best][f'mrr@{k}']:.3f})"


def _training_sessions(
    events_dir: Path, vocabulary: Vocabulary, *, include_valid: bool
) -> tuple[Sessions, npt.NDArray[np.int64]]:
    """Returns the sessions of training, and the time of the newest event of each item in them, [num_items]."""
    splits = [read_split(events_dir, split) for split in SPLITS[: 2 if include_valid else 1]]
    sessions = functools.reduce(Sessions.concatenate, (Sessions.encode(split, vocabulary) for split in splits))
    last_seen = np.full(vocabulary.num_items + 1, NOT_SEEN)
    np.maximum.at(last_seen, sessions.items, np.concatenate([split["time"].to_numpy() for split in splits]))
    return sessions, last_seen[1:]


def _count_hits(ranking: Ranking) -> int:
    return int((ranking.ranks <= DETAIL_K).sum())


def _split_off_model(summaries: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {"model": summaries.pop("model", {}), "baselines": summaries}


def _intervals(
    ranks: dict[str, Ranks], session: npt.NDArray[np.int64], ks: Sequence[int], groups: Mapping[str, Groups]
) -> dict[str, Any]:
    """95% intervals of the model's metrics, of its breakdowns, and of the paired differences from each baseline."""
    bootstrap = Bootstrap(session)
    gains = {name: all_gains(each, ks) for name, each in ranks.items()}
    model = gains.pop("model")
    return {
        "model": {name: bootstrap.interval(each) for name, each in model.items()},
        "ahead_of": {
            baseline: {name: bootstrap.interval(each - others[name]) for name, each in model.items()}
            for baseline, others in gains.items()
        },
        **{name: group_intervals(bootstrap, ranks["model"], each, DETAIL_K) for name, each in groups.items()},
    }
