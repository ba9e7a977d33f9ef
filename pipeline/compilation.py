"""Compiling a pipeline to the YAML of a cluster, and naming what was compiled."""

import functools
import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp import compiler

from components.image import check_image_name
from pipeline.retraining import make_retraining_pipeline
from pipeline.tasks import Tasks
from pipeline.training import make_training_pipeline

# The pipelines there are: a factory each, which takes the same Tasks.
PIPELINES: dict[str, Callable[[Tasks], Any]] = {
    "training": make_training_pipeline,
    "retraining": make_retraining_pipeline,
}
# What a schedule runs if nothing else is said.
SCHEDULED_PIPELINE = list(PIPELINES)[-1]
TARGETS = ("kfp", "vertex")


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A pipeline for a cluster.

    Attributes:
        name: as the cluster shows it.
        description: likewise.
        inputs: its inputs by name, as KFP's component spec has them.
        text: its YAML: one document for Vertex, for KFP a second with the Kubernetes settings.
    """

    name: str
    description: str
    inputs: Mapping[str, Any]
    text: str

    @property
    def content_hash(self) -> str:
        """The same for the same pipeline with the same settings, on every machine."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


@functools.cache
def compile_pipeline(name: str, tasks: Tasks) -> Compiled:
    """Compiles a pipeline.

    Args:
        name: its key in PIPELINES.
        tasks: what is fixed when compiling.

    Raises:
        ValueError: there is no such pipeline, the tasks are not made for a cluster, or the image's name may move.
    """
    if name not in PIPELINES:
        raise ValueError(f"Expected a pipeline, one of {', '.join(PIPELINES)}. Received: {name!r}")
    if tasks.platform not in TARGETS:
        raise ValueError(f"Expected a target, one of {', '.join(TARGETS)}. Received: {tasks.platform!r}")
    check_image_name(tasks.image)
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
