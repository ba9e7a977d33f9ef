"""Compiling a pipeline to the YAML of a cluster, and naming what was compiled."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp import compiler

from components.image import check_image_name
from pipeline.tasks import Tasks
from pipeline.training import make_training_pipeline

# The pipelines there are: a factory each, which takes the same Tasks.
PIPELINES: dict[str, Callable[[Tasks], Any]] = {
    "training": make_training_pipeline,
}
TARGETS = ("kfp", "vertex")


def make_pipeline(name: str, tasks: Tasks) -> Any:
    """Makes a pipeline for a cluster.

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
    return PIPELINES[name](tasks)


def compile_pipeline(pipeline: Any, path: Path) -> str:
    """Writes a pipeline as YAML: one document for Vertex, for KFP a second with the Kubernetes settings.

    Args:
        pipeline: as `make_pipeline` gives it.
        path: file to write; its folder is made.

    Returns:
        A hash of the YAML: the same pipeline with the same settings has the same on every machine.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline, str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
