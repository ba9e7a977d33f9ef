"""What is to run on a cluster, and what every kind of cluster says about a run."""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from pipeline.compilation import compile_pipeline
from pipeline.exit_codes import ExitCode
from pipeline.settings import check_parameters
from pipeline.tasks import OUTSIDE_PARAMETERS, Tasks

# The states in which a run ends, as KFP calls them, and the exit code of a command that followed it.
EXIT_CODES = {
    "SUCCEEDED": ExitCode.DONE,
    "SKIPPED": ExitCode.DONE,
    "FAILED": ExitCode.FAILED,
    "CANCELED": ExitCode.CANCELLED,
}
# How the addresses begin that pods can read; Vertex mounts Cloud Storage at /gcs.
_ADDRESSES = {"kfp": ("s3://", "gs://"), "vertex": ("s3://", "gs://", "/gcs/")}


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
        service_account: service account of the tasks; empty for the cluster's default, or what a schedule has.
        pipeline_root: where the artifacts go, as a URI; empty for the cluster's default. Vertex requires one.

    Raises:
        ValueError: there is no such pipeline, a parameter is missing, unknown, of another type or fixed by `tasks`, a
            log lies where no pod can read it, or the pipeline root is not one that Vertex takes.
    """

    pipeline: str
    tasks: Tasks
    parameters: Mapping[str, Any] = field(default_factory=dict)
    experiment: str = "two-tower"
    service_account: str = ""
    pipeline_root: str = ""

    def __post_init__(self) -> None:
        for name in self.tasks.fixed_parameters.keys() & self.parameters.keys():
            raise ValueError(
                f"Expected no value for {name}: with --checkpoint-claim it is {self.tasks.fixed_parameters[name]}. "
                f"Received: {self.parameters[name]!r}"
            )
        check_parameters(self.parameters, compile_pipeline(self.pipeline, self.tasks).inputs)
        addresses = _ADDRESSES[self.tasks.platform]
        for name in sorted({name for names in OUTSIDE_PARAMETERS.values() for name in names} & self.parameters.keys()):
            if self.parameters[name] and not self.parameters[name].startswith(addresses):
                raise ValueError(
                    f"Expected {name} to be an address that pods can read, which begins with {' or '.join(addresses)}. "
                    f"Received: {self.parameters[name]!r}"
                )
        if self.tasks.platform == "vertex" and not self.pipeline_root.startswith("gs://"):
            raise ValueError(
                f"Expected a pipeline root (--pipeline-root) that begins with gs://. Received: {self.pipeline_root!r}"
            )

    @property
    def pipeline_name(self) -> str:
        """Name of the pipeline as the cluster shows it."""
        return compile_pipeline(self.pipeline, self.tasks).name


@dataclass(frozen=True, kw_only=True)
class TaskState:
    """Where a task of a run stands; `seconds` since it started, until it ended."""

    name: str
    state: str
    seconds: float


def make_run_name(pipeline_name: str) -> str:
    """Makes a name that no other run has: a start that is repeated finds the run by it."""
    return f"{pipeline_name}-{datetime.now(tz=UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"


def check_run_name(name: str) -> str:
    """Gives back a name that every kind of cluster takes for a run.

    Raises:
        ValueError: it is not.
    """
    if not re.fullmatch("[a-z][a-z0-9-]{0,127}", name):
        raise ValueError(
            f"Expected a run's name of a-z, 0-9 and hyphens, at most 128, a letter first. Received: {name!r}"
        )
    return name


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
