"""What is to run on a cluster, and what every kind of cluster says about a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.compilation import compile_pipeline
from pipeline.settings import check_parameters
from pipeline.tasks import Tasks

# Exit codes of the command line, by the state in which a run ended; a run past its time limit has TIMEOUT_CODE.
EXIT_CODES = {"SUCCEEDED": 0, "FAILED": 2, "CANCELED": 3, "SKIPPED": 0}
TIMEOUT_CODE = 4


class ClusterError(RuntimeError):
    """The cluster cannot be reached, or does not do what it is asked."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is to run, and how.

    Attributes:
        pipeline: key of `pipeline.compilation.PIPELINES`.
        tasks: what is fixed when compiling.
        parameters: values of the pipeline's parameters.
        experiment: what the runs are grouped by; Vertex has no such groups.
        service_account: whose rights the tasks have; empty for the cluster's default, or what a schedule has.
        pipeline_root: where the artifacts go, as a URI; empty for the cluster's default, which Vertex has none of.

    Raises:
        ValueError: the pipeline is none, or has other parameters; or the pipeline root is none of Vertex'.
    """

    pipeline: str
    tasks: Tasks
    parameters: Mapping[str, Any] = field(default_factory=dict)
    experiment: str = "two-tower"
    service_account: str = ""
    pipeline_root: str = ""

    def __post_init__(self) -> None:
        check_parameters(self.parameters, compile_pipeline(self.pipeline, self.tasks).inputs)
        if self.tasks.platform == "vertex" and not self.pipeline_root.startswith("gs://"):
            raise ValueError(
                f"Expected a pipeline root (--pipeline-root) that begins with gs://. Received: {self.pipeline_root!r}"
            )


@dataclass(frozen=True, kw_only=True)
class TaskState:
    """Where a task of a run stands; `seconds` since it started, until it ended."""

    name: str
    state: str
    seconds: float


class Run(Protocol):
    """A run on a cluster."""

    @property
    def url(self) -> str:
        """Its address in the browser."""

    def follow(self, report: Callable[[TaskState], None], *, timeout_seconds: float) -> str:
        """Waits for the end of the run.

        Args:
            report: called whenever a task enters another state.
            timeout_seconds: how long to wait; the run itself goes on.

        Returns:
            The state in which it ended, a key of EXIT_CODES.

        Raises:
            TimeoutError: the run has not ended in time.
        """

    def get_error(self) -> str:
        """Gives what a run that failed says about it; empty if nothing."""
