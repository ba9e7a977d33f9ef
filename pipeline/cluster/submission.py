"""What to run on a cluster, and the interface of a run on any kind of cluster."""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from pipeline.compilation import compile_pipeline
from pipeline.early_checks import check_gate_parameters
from pipeline.exit_codes import ExitCode
from pipeline.settings import check_parameters
from pipeline.tasks import OUTSIDE_PARAMETERS, Tasks

# The final states of a run, with KFP's names, and the exit code of a command that followed the run.
EXIT_CODES = {
    "SUCCEEDED": ExitCode.DONE,
    "SKIPPED": ExitCode.DONE,
    "FAILED": ExitCode.FAILED,
    "CANCELED": ExitCode.CANCELLED,
}
# Prefixes of addresses that pods can read; Vertex mounts Cloud Storage at /gcs.
_ADDRESSES = {"kfp": ("s3://", "gs://"), "vertex": ("s3://", "gs://", "/gcs/")}


class ClusterError(RuntimeError):
    """The cluster cannot be reached, or refuses a request."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What to run on a cluster.

    Attributes:
        pipeline: a key of `pipeline.compilation.PIPELINES`.
        tasks: the settings that are fixed at compile time.
        parameters: values of the pipeline's parameters.
        experiment: kfp only: experiment of the run.
        service_account: service account of the tasks; empty for the cluster's default or, when a schedule is changed,
            for its current one.
        pipeline_root: URI for the artifacts; empty for the cluster's default. Vertex requires one.

    Raises:
        ValueError: the pipeline is unknown, a parameter is missing, unknown, of the wrong type or fixed by `tasks`,
            pods cannot read the address of a log, or Vertex does not accept the pipeline root.
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
                f"Expected no value for {name}, which --checkpoint-claim sets to {self.tasks.fixed_parameters[name]}. "
                f"Received: {self.parameters[name]!r}"
            )
        inputs = compile_pipeline(self.pipeline, self.tasks).inputs
        check_parameters(self.parameters, inputs)
        check_gate_parameters(self.parameters, inputs)
        for name in sorted({name for names in OUTSIDE_PARAMETERS.values() for name in names} & self.parameters.keys()):
            # A mounted bucket has no conditional creation, by which a version is published once.
            addresses = _ADDRESSES["kfp" if name == "serving_uri" else self.tasks.platform]
            if self.parameters[name] and not self.parameters[name].startswith(addresses):
                raise ValueError(
                    f"Expected {name} to be an address that pods can read, beginning with {' or '.join(addresses)}. "
                    f"Received: {self.parameters[name]!r}"
                )
        if self.tasks.platform == "vertex" and not self.pipeline_root.startswith("gs://"):
            raise ValueError(
                f"Expected a pipeline root (--pipeline-root) that begins with gs://. Received: {self.pipeline_root!r}"
            )

    @property
    def pipeline_name(self) -> str:
        """Name of the pipeline on the cluster."""
        return compile_pipeline(self.pipeline, self.tasks).name


@dataclass(frozen=True, kw_only=True)
class TaskState:
    """The state of a task of a run. `seconds` is the duration from its start to its end or, if it runs, until now."""

    name: str
    state: str
    seconds: float


def make_run_name(pipeline_name: str) -> str:
    """Generates a unique name, by which a retry of the start finds the run."""
    return f"{pipeline_name}-{datetime.now(tz=UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"


def check_run_name(name: str) -> str:
    """Returns the name of a run if every kind of cluster accepts it.

    Raises:
        ValueError: the name is invalid.
    """
    if not re.fullmatch("[a-z][a-z0-9-]{0,127}", name):
        raise ValueError(
            f"Expected a run name of at most 128 characters a-z, 0-9 and -, beginning with a letter. Received: {name!r}"
        )
    return name


class Run(Protocol):
    """A run on a cluster."""

    @property
    def url(self) -> str:
        """URL of the run in the web interface."""

    def follow(self, report: Callable[[TaskState], None], *, timeout_seconds: float) -> str:
        """Waits until the run ends.

        Args:
            report: called on each change of a task's state.
            timeout_seconds: maximum wait; the run itself continues after it.

        Returns:
            The final state, a key of EXIT_CODES.

        Raises:
            TimeoutError: the run has not ended in time.
        """

    def get_error(self) -> str:
        """Returns the error messages of a failed run; empty if there are none."""
