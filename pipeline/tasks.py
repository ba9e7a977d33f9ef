"""The tasks that the pipelines share, each with its image and its caching."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from kfp import dsl

from components.evaluate.component import evaluate
from components.export.component import export
from components.image import IMAGE
from components.ingest.component import ingest
from components.sessionize.component import sessionize
from components.train.component import train
from components.vocabulary.component import vocabulary


class Artifacts(NamedTuple):
    """What a pipeline leaves behind."""

    events: dsl.Dataset
    vocabulary: dsl.Dataset
    model: dsl.Model
    tensorboard: dsl.Artifact
    metrics: dsl.Metrics
    index: dsl.Model
    embeddings: dsl.Dataset


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Makes tasks. What is fixed when compiling stands here, what a run may change are the arguments.

    Attributes:
        image: container image of every task.
    """

    image: str = IMAGE

    def _make(self, component: Any, arguments: dict[str, Any], *, caching: bool) -> dsl.PipelineTask:
        task = component(**arguments)
        task.set_container_image(self.image)
        task.set_caching_options(caching)
        return task

    def ingest(self, **arguments: Any) -> dsl.PipelineTask:
        """Reads the outside world, which may change behind an unchanged path: never cached."""
        return self._make(ingest, arguments, caching=False)

    def sessionize(self, **arguments: Any) -> dsl.PipelineTask:
        """Reads the outside world like `ingest`: never cached."""
        return self._make(sessionize, arguments, caching=False)

    def vocabulary(self, **arguments: Any) -> dsl.PipelineTask:
        """Counts items."""
        return self._make(vocabulary, arguments, caching=True)

    def train(self, **arguments: Any) -> dsl.PipelineTask:
        """Trains the towers."""
        return self._make(train, arguments, caching=True)

    def evaluate(self, **arguments: Any) -> dsl.PipelineTask:
        """Ranks the test targets."""
        return self._make(evaluate, arguments, caching=True)

    def export(self, **arguments: Any) -> dsl.PipelineTask:
        """Builds and checks the index."""
        return self._make(export, arguments, caching=True)
