"""The graphs that search for training parameters: rounds of trials on valid -> the best one refitted, tested, exported.

KFP fixes the items of a loop before it, so the rounds are unrolled when the pipeline is compiled, and each is a loop.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from kfp import dsl, kubernetes

from components.ingest.component import ingest
from components.sessionize.component import sessionize
from components.suggest.component import suggest
from components.train.component import train
from components.vocabulary.component import vocabulary as count_items
from pipeline.parameters import make_pipeline
from pipeline.tasks import CHECKPOINT_MOUNT, MODEL_COMPONENTS, TASK_PARAMETERS, Tasks

# What the graphs set themselves: the trials have no refit, the best one has.
FIXED = (*TASK_PARAMETERS, "refit", "outcomes", "serving_uri")


class SearchArtifacts(NamedTuple):
    """The output artifacts of a search: those of the best trial, and the trials."""

    events: dsl.Dataset
    vocabulary: dsl.Dataset
    model: dsl.Model
    tensorboard: dsl.Artifact
    metrics: dsl.Metrics
    ranks: dsl.Dataset
    examples: dsl.Dataset
    index: dsl.Model
    embeddings: dsl.Dataset
    index_check: dsl.Metrics
    report: dsl.HTML
    trials: dsl.Dataset
    search_report: dsl.HTML


@functools.cache
def make_tuning_pipeline(tasks: Tasks | None = None) -> Any:
    """Creates the pipeline over split logs from `tasks`; by default, those of a local run."""
    tasks = tasks or Tasks()

    def tuning(parameters: dict[str, Any]) -> SearchArtifacts:
        """Searches for training parameters on three session logs, and trains, evaluates and exports with the best."""
        return _search(tasks, tasks.ingest(parameters), parameters)

    return _make(tuning, ingest, tasks, name="two-tower-tuning", display_name="Two-tower tuning")


@functools.cache
def make_raw_tuning_pipeline(tasks: Tasks | None = None) -> Any:
    """Creates the pipeline over a raw log from `tasks`; by default, those of a local run."""
    tasks = tasks or Tasks()

    def raw_tuning(parameters: dict[str, Any]) -> SearchArtifacts:
        """Searches for training parameters on a raw event log, and trains, evaluates and exports with the best."""
        return _search(tasks, tasks.sessionize(parameters), parameters)

    return _make(raw_tuning, sessionize, tasks, name="two-tower-raw-tuning", display_name="Two-tower tuning, raw log")


def _make(graph: Callable[[dict[str, Any]], Any], reader: Any, tasks: Tasks, **names: str) -> Any:
    return make_pipeline(graph, [reader, suggest, *MODEL_COMPONENTS], fixed=[*tasks.fixed_parameters, *FIXED], **names)


def _search(tasks: Tasks, events: Any, parameters: dict[str, Any]) -> SearchArtifacts:
    """Creates the tasks after the events: the rounds, and the tasks of a training with the best point."""
    values = {**parameters, **tasks.fixed_parameters, "events": events, "refit": False}
    values["vocabulary"] = tasks.make(count_items, values, caching=True, name="trial-vocabulary").outputs["vocabulary"]
    suggested = tasks.make(suggest, parameters, caching=True, name="suggest-1").outputs
    for number in range(1, tasks.search_rounds + 1):
        with dsl.ParallelFor(suggested["Output"], name=f"round-{number}") as point:
            # Trials have no records: all of a round would have the same name.
            trial = tasks.make(train, {**values, "point": point, "trial": True, "records_uri": ""}, caching=True)
            if tasks.checkpoint_claim:
                kubernetes.mount_pvc(trial, pvc_name=tasks.checkpoint_claim, mount_path=CHECKPOINT_MOUNT)
        told = {**parameters, "outcomes": dsl.Collected(trial.outputs["Output"])}
        if number > 1:
            told["earlier_trials"] = suggested["trials"]
        if number == tasks.search_rounds:
            told["trials_per_round"] = 0
        suggested = tasks.make(suggest, told, caching=True, name=f"suggest-{number + 1}").outputs
    made = tasks.from_events(events, {**parameters, "refit": True, "point": suggested["best"]})
    return SearchArtifacts(*made, trials=suggested["trials"], search_report=suggested["search_report"])
