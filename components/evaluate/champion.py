"""The comparison of the model with the published one, the champion, on sessions that neither was trained on."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from components.core.literal_paths import literal_path
from components.core.metrics import Bootstrap, Ranks, all_gains
from components.core.model_scores import model_scores
from components.core.ranking import rank_targets
from components.core.saved_model import embed_catalogue, read_training
from components.core.sequences import Sessions, target_events
from components.core.serving.location import fetch, list_versions, open_location
from components.core.serving.manifest import TOWERS, VOCABULARY, Manifest
from components.core.vocabulary import Vocabulary
from components.evaluate.ranks import NOT_RANKED

METRICS = ("recall@20", "mrr@20")
K = 20

SampleSessions = Callable[[Sessions], Sessions]


def compare_with_champion(
    uri: str, test_events: pa.Table, sample: SampleSessions, ranks: Ranks, *, min_prefix: int
) -> tuple[dict[str, Any], Ranks]:
    """Compares the model with the newest published one, on the same targets.

    Each model is asked with its own vocabulary. A target that a model does not know is a miss for it. Ranks are those
    in the union of both catalogues: an item that a model cannot score outranks none, so the rank in its own catalogue
    is the rank in the union.

    Args:
        uri: the serving location; empty for none.
        test_events: the test split.
        sample: returns those of the test sessions to compare on; the same ones for each encoding.
        ranks: [num_targets] ranks of the model for the targets of these sessions.
        min_prefix: number of events before a target.

    Returns:
        The entry `champion` of metrics.json, described in docs/production.md, and the champion's ranks [num_targets],
        NOT_RANKED for the targets that it is not compared on. Whatever goes wrong is the status `unreadable` with the
        reason, so that no failure looks like a first run.
    """
    not_ranked = np.full(len(ranks), NOT_RANKED)
    if not uri:
        return {"status": "unreadable", "reason": "No serving location was given (serving_uri)"}, not_ranked
    try:
        versions = list_versions(uri)
        if not versions:
            return {"status": "none", "reason": f"{uri} holds no version"}, not_ranked
        return _compare(uri, versions[-1], test_events, sample, ranks, min_prefix=min_prefix)
    except Exception as error:
        return {"status": "unreadable", "reason": f"{type(error).__name__}: {error}"}, not_ranked


def _compare(
    uri: str, manifest: Manifest, test_events: pa.Table, sample: SampleSessions, ranks: Ranks, *, min_prefix: int
) -> tuple[dict[str, Any], Ranks]:
    champion_ranks = np.full(len(ranks), NOT_RANKED)
    trained_until = manifest.document["trained_until"]
    if type(trained_until) is not int:
        raise ValueError(f"Expected trained_until of version {manifest.version} in ms. Received: {trained_until!r}")
    with tempfile.TemporaryDirectory(prefix="two-tower-champion-") as scratch:
        fetch(open_location(uri), manifest, "model", Path(scratch))
        vocabulary = Vocabulary.read(Path(scratch, VOCABULARY))
        sessions = sample(Sessions.encode(test_events, vocabulary))
        events = target_events(sessions, min_prefix=min_prefix)
        session = np.searchsorted(sessions.offsets, events, side="right") - 1
        is_new = _begin_of(sessions, test_events)[session] > trained_until
        found = {"version": manifest.version, "trained_until": trained_until, "num_targets": int(is_new.sum())}
        if not is_new.any():
            reason = "No target is left in sessions that begin after the champion's training data"
            return {"status": "too_few_targets", "reason": reason, **found}, champion_ranks
        champion_ranks[is_new] = _rank(Path(scratch, TOWERS), vocabulary, sessions, events[is_new])
    compared = {"model": ranks[is_new], "champion": champion_ranks[is_new]}
    gains = {name: all_gains(each, [K]) for name, each in compared.items()}
    bootstrap = Bootstrap(session[is_new])
    entry = {
        "status": "compared",
        **found,
        **{name: {metric: float(each[metric].mean()) for metric in METRICS} for name, each in gains.items()},
        "ahead": {metric: bootstrap.interval(gains["model"][metric] - gains["champion"][metric]) for metric in METRICS},
    }
    return entry, champion_ranks


def _begin_of(sessions: Sessions, test_events: pa.Table) -> npt.NDArray[np.int64]:
    """Returns the time of the first event of each session, in milliseconds since 1970, [num_sessions]."""
    first = test_events.group_by("session_id").aggregate([("time", "min")])
    row = pc.index_in(sessions.session_ids, value_set=first["session_id"].cast(pa.string()).combine_chunks())
    begin: npt.NDArray[np.int64] = first["time_min"].to_numpy()[row.to_numpy()]
    return begin


def _rank(model_dir: Path, vocabulary: Vocabulary, sessions: Sessions, events: npt.NDArray[np.int64]) -> Ranks:
    """Returns the ranks of the targets `events` in the catalogue of a model, [num_events]."""
    max_length = read_training(model_dir)["parameters"]["max_session_length"]
    with literal_path(model_dir) as path:
        model = tf.saved_model.load(path)
        candidates = embed_catalogue(model, vocabulary)
        scores = model_scores(model, candidates, vocabulary, sessions, events, max_length=max_length)
    return rank_targets(scores, sessions.items[events], num_items=vocabulary.num_items).ranks
