"""Compiles a pipeline to the YAML that a cluster runs, and hashes the result."""

import functools
import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp import compiler

from components.image import check_image_name
from pipeline.graph_parameters import COMPONENTS
from pipeline.retraining import make_retraining_pipeline
from pipeline.tasks import Tasks
from pipeline.training import make_training_pipeline
from pipeline.tuning import make_raw_tuning_pipeline, make_tuning_pipeline

# All pipelines: a factory for each.
PIPELINES: dict[str, Callable[[Tasks], Any]] = {
    "training": make_training_pipeline,
    "tuning": make_tuning_pipeline,
    "raw-tuning": make_raw_tuning_pipeline,
    "retraining": make_retraining_pipeline,
}
# The default pipeline of a schedule.
SCHEDULED_PIPELINE = list(PIPELINES)[-1]
TARGETS = ("kfp", "vertex")


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
        name: the pipeline's name on the cluster.
        description: the pipeline's description on the cluster.
        inputs: its inputs by name, from KFP's component spec.
        text: its YAML. Vertex takes one document; for KFP, a second document contains the Kubernetes settings.
    """

    name: str
    description: str
    inputs: Mapping[str, Any]
    text: str

    @property
    def content_hash(self) -> str:
        """Hash of the YAML; equal on all machines for the same pipeline and settings."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


@functools.cache
def compile_pipeline(name: str, tasks: Tasks) -> Compiled:
    """Compiles a pipeline.

    Args:
        name: a key of PIPELINES.
        tasks: the settings that are fixed at compile time.

    Raises:
        ValueError: the pipeline is unknown or does not use one of the settings, the platform of the tasks is not a
            cluster, or the image has a moving tag.
    """
    if name not in PIPELINES:
        raise ValueError(f"Expected a pipeline, one of {', '.join(PIPELINES)}. Received: {name!r}")
    if tasks.platform not in TARGETS:
        raise ValueError(f"Expected a target, one of {', '.join(TARGETS)}. Received: {tasks.platform!r}")
    check_image_name(tasks.image)
    _check_used(name, tasks)
    pipeline = PIPELINES[name](tasks)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        text = path.read_text()
    return Compiled(
        name=pipeline.name,
        description=pipeline.description or "",
        inputs=pipeline.component_spec.inputs,
        text=text,
    )


def _check_used(name: str, tasks: Tasks) -> None:
    """Checks that a pipeline uses the settings that have no default value: others would be lost in silence.

    Raises:
        ValueError: it does not use one.
    """
    names = _list_names(name)
    if tasks.webhook_secret and "notify" not in names:
        raise ValueError(
            f"Expected no webhook secret (--webhook-secret) for the pipeline {name}, which notifies nobody; "
            f"{_list_pipelines_with('notify')} does. Received: {tasks.webhook_secret!r}"
        )
    if tasks.search_rounds != Tasks.search_rounds and "suggest" not in names:
        raise ValueError(
            f"Expected no number of rounds (--search-rounds) for the pipeline {name}, which does not search; "
            f"{_list_pipelines_with('suggest')} do. Received: {tasks.search_rounds}"
        )
    for change in tasks.resources:
        if change.partition(".")[0] not in names:
            raise ValueError(
                f"Expected a task of the pipeline {name} (--resource), one of {', '.join(names)}. Received: {change}"
            )


def _list_names(pipeline: str) -> list[str]:
    return [component.name for component in COMPONENTS[pipeline]]


def _list_pipelines_with(component: str) -> str:
    return " and ".join(name for name in PIPELINES if component in _list_names(name))
