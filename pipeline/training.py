"""The graph for logs that are already split: ingest -> vocabulary -> train -> evaluate, export -> report."""

import functools
from typing import Any

from pipeline.graph_parameters import COMPONENTS, TASK_PARAMETERS
from pipeline.parameters import make_pipeline
from pipeline.tasks import Artifacts, Tasks


@functools.cache
def make_training_pipeline(tasks: Tasks | None = None) -> Any:
    """Creates the pipeline from `tasks`; by default, those of a local run."""
    tasks = tasks or Tasks()

    def training(parameters: dict[str, Any]) -> Artifacts:
        """Trains, evaluates and exports a two-tower retrieval model from three session logs."""
        return tasks.from_events(tasks.ingest(parameters), parameters)

    return make_pipeline(
        training,
        COMPONENTS["training"],
        name="two-tower-training",
        display_name="Two-tower training",
        # Nothing is published without a gate, so there is nothing to start from either.
        fixed=[*tasks.fixed_parameters, *TASK_PARAMETERS, "serving_uri", "warm_start"],
    )
