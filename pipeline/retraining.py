"""The graph for raw logs, which schedules run: sessionize -> vocabulary -> train -> evaluate, export."""

import functools
from typing import Any

from components.sessionize.component import sessionize
from pipeline.parameters import make_pipeline
from pipeline.tasks import MODEL_COMPONENTS, Artifacts, Tasks


@functools.cache
def make_retraining_pipeline(tasks: Tasks | None = None) -> Any:
    """Creates the pipeline from `tasks`; by default, those of a local run."""
    tasks = tasks or Tasks()

    def retraining(parameters: dict[str, Any]) -> Artifacts:
        """Trains, evaluates and exports a two-tower retrieval model from a raw event log."""
        return tasks.from_events(tasks.sessionize(parameters), parameters)

    return make_pipeline(
        retraining,
        [sessionize, *MODEL_COMPONENTS],
        name="two-tower-retraining",
        display_name="Two-tower retraining",
        fixed=tasks.fixed_parameters,
    )
