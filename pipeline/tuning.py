"""The graphs that search for training parameters: rounds of trials on valid -> the best one refitted, tested, exported.

KFP fixes the items of a loop before it, so the rounds are unrolled when the pipeline is compiled, and each is a loop.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from kfp import dsl

from pipeline.graph_parameters import COMPONENTS, TASK_PARAMETERS
from pipeline.parameters import make_pipeline
from pipeline.tasks import Tasks

# What the graphs set themselves: trials have no refit, the best one has. Nothing is published, nor started from.
FIXED = (*TASK_PARAMETERS, "refit", "serving_uri", "warm_start")


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

    return _make(tuning, "tuning", tasks, display_name="Two-tower tuning")


@functools.cache
def make_raw_tuning_pipeline(tasks: Tasks | None = None) -> Any:
    """Creates the pipeline over a raw log from `tasks`; by default, those of a local run."""
    tasks = tasks or Tasks()

    def raw_tuning(parameters: dict[str, Any]) -> SearchArtifacts:
        """Searches for training parameters on a raw event log, and trains, evaluates and exports with the best."""
        return _search(tasks, tasks.sessionize(parameters), parameters)

    return _make(raw_tuning, "raw-tuning", tasks, display_name="Two-tower tuning, raw log")


def _make(graph: Callable[[dict[str, Any]], Any], name: str, tasks: Tasks, *, display_name: str) -> Any:
    return make_pipeline(
        graph,
        COMPONENTS[name],
        name=f"two-tower-{name}",
        display_name=display_name,
        fixed=[*tasks.fixed_parameters, *FIXED],
    )


def _search(tasks: Tasks, events: Any, parameters: dict[str, Any]) -> SearchArtifacts:
    """Creates the tasks after the events: the rounds, and the tasks of a training with the best point."""
    inputs = {**parameters, "events": events}
    inputs["vocabulary"] = tasks.vocabulary_of_trials(inputs)
    suggested = tasks.suggest(parameters, number=1)
    for number in range(1, tasks.search_rounds + 1):
        with dsl.ParallelFor(suggested["Output"], name=f"round-{number}") as point:
            outcome = tasks.trial(inputs, point)
        told = {**parameters, "outcomes": dsl.Collected(outcome)}
        if number > 1:
            told["earlier_trials"] = suggested["trials"]
        if number == tasks.search_rounds:
            told["trials_per_round"] = 0
        suggested = tasks.suggest(told, number=number + 1)
    made = tasks.from_events(events, {**parameters, "refit": True, "point": suggested["best"]})
    return SearchArtifacts(*made, trials=suggested["trials"], search_report=suggested["search_report"])
