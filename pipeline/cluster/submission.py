"""What to run on a cluster, and how the run is named and described there."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from components.suggest.spaces import parse_space
from pipeline.compilation import compile_pipeline
from pipeline.graph_parameters import COMPONENTS, OUTSIDE_PARAMETERS, list_inputs
from pipeline.search_space import check_space
from pipeline.settings import check_parameters
from pipeline.tasks import Tasks
from pipeline.validation import check_values

# Prefixes of addresses that pods can read; Vertex mounts Cloud Storage at /gcs.
_ADDRESSES = {"kfp": ("s3://", "gs://"), "vertex": ("s3://", "gs://", "/gcs/")}

_MAX_GENERATED_NAME = 80  # characters
# Kubeflow stores a run's description in 255 characters. It refuses a longer one after it has started the workflow.
_MAX_DESCRIPTION = 255


class ClusterError(RuntimeError):
    """The cluster cannot be reached, or refuses a request."""


class UnreachableError(ClusterError):
    """The cluster does not answer, or cannot answer now; it may later."""


class NoLogError(ClusterError):
    """The cluster has no log of a pod."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What to run on a cluster.

    Attributes:
        pipeline: a key of `pipeline.compilation.PIPELINES`.
        tasks: the settings that are fixed at compile time.
        parameters: values of the pipeline's parameters.
        preset: name of the preset that the parameters started from; for the name and description of runs.
        experiment: kfp only: experiment of the run.
        service_account: service account of the tasks; empty for the cluster's default or, when a schedule is changed,
            for its current one.
        pipeline_root: URI for the artifacts; empty for the cluster's default. Vertex requires one.

    Raises:
        ValueError: the pipeline is unknown, a parameter is missing, unknown, of the wrong type or fixed by `tasks`,
            pods cannot read the address of a log, or Vertex does not accept the pipeline root or the experiment.
    """

    pipeline: str
    tasks: Tasks
    parameters: Mapping[str, Any] = field(default_factory=dict)
    preset: str = field(default="", compare=False)
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
        check_parameters(self.parameters, inputs, list_owners(self.pipeline))
        check_values(COMPONENTS[self.pipeline], self.parameters)
        if "search_space" in inputs:
            check_space(parse_space(self.parameters.get("search_space", "default")), self.parameters)
        for name in sorted({name for names in OUTSIDE_PARAMETERS.values() for name in names} & self.parameters.keys()):
            # A mounted bucket has no conditional creation, by which a version is published once.
            addresses = _ADDRESSES["kfp" if name == "serving_uri" else self.tasks.platform]
            if self.parameters[name] and not self.parameters[name].startswith(addresses):
                raise ValueError(
                    f"Expected {name} to be an address that pods can read, beginning with {' or '.join(addresses)}. "
                    f"Received: {self.parameters[name]!r}"
                )
        if self.tasks.platform == "vertex" and self.experiment != type(self).experiment:
            raise ValueError(f"Expected the target kfp for an experiment (--experiment). Received: {self.experiment!r}")
        if self.tasks.platform == "vertex" and not self.pipeline_root.startswith("gs://"):
            raise ValueError(
                f"Expected a pipeline root (--pipeline-root) that begins with gs://. Received: {self.pipeline_root!r}"
            )

    @property
    def pipeline_name(self) -> str:
        """Name of the pipeline on the cluster."""
        return compile_pipeline(self.pipeline, self.tasks).name

    @property
    def locations(self) -> dict[str, str]:
        """The addresses of the data, by parameter."""
        names = {name for names in OUTSIDE_PARAMETERS.values() for name in names}
        return {name: str(value) for name, value in self.parameters.items() if name in names and value}

    @property
    def changes(self) -> dict[str, Any]:
        """The parameters that differ from their defaults, without the addresses of the data."""
        inputs = compile_pipeline(self.pipeline, self.tasks).inputs
        return {
            name: value
            for name, value in self.parameters.items()
            if name not in self.locations and value != inputs[name].default
        }

    @property
    def description(self) -> str:
        """Describes a run in one line; what does not fit is cut, since the cluster shows all parameters anyway."""
        parts = [f"{self.pipeline}, preset {self.preset}" if self.preset else self.pipeline]
        for values in (self.locations, self.changes):
            if values:
                parts.append(", ".join(f"{name}={value}" for name, value in values.items()))
        text = "; ".join(parts)
        return text if len(text) <= _MAX_DESCRIPTION else f"{text[: _MAX_DESCRIPTION - 4]} ..."


def list_owners(pipeline: str) -> dict[str, str]:
    """Returns which pipeline has a parameter, by name, for those of all other pipelines."""
    return {name: f"the pipeline {other}" for other in COMPONENTS if other != pipeline for name in list_inputs(other)}


def make_run_name(submission: Submission) -> str:
    """Generates a unique name, by which a retry of the start finds the run.

    Kubeflow's list of runs shows about 30 characters of a name. So what tells runs apart follows the pipeline and the
    time: a preset other than the default, the data and as many changed parameters as fit. A random part ends the name.
    The time has seconds, since runs of a series may differ only in a parameter that is cut off or does not fit.
    """
    name, end = f"{submission.pipeline}-{datetime.now(tz=UTC):%m%d-%H%M%S}", f"-{uuid.uuid4().hex[:8]}"
    log, train = (str(submission.parameters.get(key, "")).rstrip("/") for key in ("log_path", "train_path"))
    # A file of split logs is called train in every data set; its folder tells more.
    data = (log or train.rpartition("/")[0]).rpartition("/")[2].partition(".")[0]
    preset = "" if submission.preset == "default" else submission.preset
    for part in (preset, data, *(f"{key}-{value}" for key, value in submission.changes.items())):
        clean = re.sub("[^a-z0-9]+", "-", part.lower()).strip("-")
        if clean and len(name) + len(clean) + len(end) < _MAX_GENERATED_NAME:
            name += f"-{clean}"
    return name + end


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
