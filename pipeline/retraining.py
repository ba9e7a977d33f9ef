"""The graph for raw logs, which schedules run: sessionize -> the tasks of the training -> gate -> publish; notify."""

import functools
from typing import Any

from pipeline.graph_parameters import COMPONENTS, PUBLICATION_PARAMETERS, TASK_PARAMETERS, UNCHECKED_INDEX
from pipeline.parameters import make_pipeline
from pipeline.tasks import Tasks

NAME = "two-tower-retraining"


@functools.cache
def make_retraining_pipeline(tasks: Tasks | None = None) -> Any:
    """Creates the pipeline from `tasks`; by default, those of a local run."""
    tasks = tasks or Tasks()

    def retraining(parameters: dict[str, Any]) -> None:
        """Trains a two-tower retrieval model from a raw event log and publishes it if the gate lets it pass."""
        with tasks.notified(parameters, NAME):
            tasks.from_events_to_publication(tasks.sessionize(parameters), parameters)

    return make_pipeline(
        retraining,
        COMPONENTS["retraining"],
        name=NAME,
        display_name="Two-tower retraining",
        fixed=[*tasks.fixed_parameters, *PUBLICATION_PARAMETERS, *TASK_PARAMETERS, *UNCHECKED_INDEX],
    )
