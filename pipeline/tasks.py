"""The tasks that the pipelines share, with the settings that are fixed at compile time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kfp import dsl

from components.evaluate.component import evaluate
from components.export.component import export
from components.gate.component import gate
from components.image import IMAGE
from components.ingest.component import ingest
from components.notify.component import notify
from components.publish.component import publish
from components.recommend.component import recommend
from components.report.component import report
from components.sessionize.component import sessionize
from components.suggest.component import suggest
from components.train.component import train
from components.verify.component import verify
from components.vocabulary.component import vocabulary as count_items
from pipeline.graph_parameters import ALL_COMPONENTS, OUTSIDE_PARAMETERS, UNCHECKED_INDEX
from pipeline.platform_settings import NO_SETTINGS, PlatformSettings
from pipeline.pods import (
    CHECKPOINT_MOUNT,
    mount_checkpoints,
    set_object_store_secret,
    set_pod,
    set_resources,
    set_webhook_secret,
)
from pipeline.resources import check_changes, get_resources

PLATFORMS = ("local", "kfp", "vertex")


class Artifacts(NamedTuple):
    """The output artifacts of a pipeline."""

    events: dsl.Dataset
    vocabulary: dsl.Dataset
    model: dsl.Model
    tensorboard: dsl.Artifact
    metrics: dsl.Metrics
    ranks: dsl.Dataset
    examples: dsl.Dataset
    index: dsl.Model
    embeddings: dsl.Dataset
    index_check: dsl.Metrics
    report: dsl.HTML


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Creates tasks. The attributes are fixed at compile time; the parameters of a run are passed to the methods.

    Attributes:
        image: container image of all tasks.
        platform: where the tasks run: local, kfp or vertex. Only tasks on a cluster have resources and retries.
        accelerator: accelerator of the training: on kfp the resource name (`nvidia.com/gpu`), on vertex the type
            (`NVIDIA_L4`); empty for none.
        num_accelerators: number of accelerators.
        object_store_secret: kfp only: name of the Kubernetes secret with the keys of an S3-compatible store, for
            the tasks in OUTSIDE_PARAMETERS; empty for none.
        webhook_secret: kfp only: name of the Kubernetes secret whose key TWO_TOWER_WEBHOOK_URL is the address of the
            webhook that is told how a retraining ended; empty for none.
        checkpoint_claim: kfp only: name of the PersistentVolumeClaim whose volume stores the checkpoints, so that a
            training resumes after its node is lost; empty for none. It fixes `checkpoint_root`.
        search_rounds: number of rounds of trials, in the pipelines that search for parameters.
        resources: changes of the tasks' resources, as texts `TASK.FIELD=VALUE`.
        pods: kfp only: settings for the pods of all tasks.

    Raises:
        ValueError: an attribute is invalid, or the attributes cannot be combined.
    """

    image: str = IMAGE
    platform: str = "local"
    accelerator: str = ""
    num_accelerators: int = 1
    object_store_secret: str = ""
    webhook_secret: str = ""
    checkpoint_claim: str = ""
    search_rounds: int = 3
    resources: tuple[str, ...] = ()
    pods: PlatformSettings = NO_SETTINGS

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            raise ValueError(f"Expected a platform, one of {', '.join(PLATFORMS)}. Received: {self.platform!r}")
        if self.accelerator:
            pattern, example = {
                "kfp": (r"[\w.-]+/[\w.-]+", "a resource of the cluster such as nvidia.com/gpu"),
                "vertex": (r"[A-Z][A-Z0-9_]+", "an accelerator type of Vertex such as NVIDIA_L4"),
            }.get(self.platform, (r"", "empty for a local run, which uses the hardware of this machine"))
            if not re.fullmatch(pattern, self.accelerator):
                raise ValueError(f"Expected the accelerator to be {example}. Received: {self.accelerator!r}")
        if self.num_accelerators < 1:
            raise ValueError(f"Expected at least 1 accelerator. Received: {self.num_accelerators}")
        if self.num_accelerators > 1 and not self.accelerator:
            raise ValueError(f"Expected the name of the accelerator. Received: {self.num_accelerators} without a name")
        if self.search_rounds < 1:
            raise ValueError(f"Expected at least 1 round of trials. Received: {self.search_rounds}")
        on_kubernetes = self.object_store_secret or self.webhook_secret or self.checkpoint_claim
        if on_kubernetes and self.platform != "kfp":
            raise ValueError(f"Expected the platform kfp for a secret or a volume claim. Received: {self.platform!r}")
        if self.pods != NO_SETTINGS and self.platform != "kfp":
            raise ValueError(f"Expected the platform kfp for settings of pods. Received: {self.platform!r}")
        names = [component.name for component in (*ALL_COMPONENTS, recommend)]
        check_changes(self.resources, names, platform=self.platform)

    @property
    def fixed_parameters(self) -> dict[str, Any]:
        """Values of component parameters that the graph sets itself."""
        return {"checkpoint_root": CHECKPOINT_MOUNT} if self.checkpoint_claim else {}

    def _make(self, component: Any, values: Mapping[str, Any], *, caching: bool, name: str = "") -> dsl.PipelineTask:
        """Creates the component's task; values that are not inputs of the component are ignored.

        Args:
            component: the component.
            values: values of its inputs by name, and others.
            caching: whether its result may come from an earlier run. On Kubeflow it never does: KFP's cache knows
                artifacts by their ids, and those of the log are new in each run.
            name: name of its record; by default that of the component.
        """
        values = {**values, "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER, "task_name": name or component.name}
        task = component(**{name: values[name] for name in component.component_spec.inputs if name in values})
        task.set_container_image(self.image)
        # A task that KFP may cache fails if the API server is away when it ends, after all its work.
        task.set_caching_options(caching and self.platform != "kfp")
        if self.platform != "local":
            resources = get_resources(component.name, self.resources)
            accelerator = self.accelerator if resources.accelerated else ""
            set_resources(task, resources)
            if accelerator:
                task.set_accelerator_type(accelerator).set_accelerator_limit(self.num_accelerators)
            if self.platform == "kfp":
                set_pod(task, component.name, resources, accelerator=accelerator)
                self.pods.apply(task)
                if self.object_store_secret and values.keys() & set(OUTSIDE_PARAMETERS.get(component.name, ())):
                    set_object_store_secret(task, self.object_store_secret)
        return task

    def notified(self, parameters: Mapping[str, Any], pipeline_name: str) -> Any:
        """Returns the group of the tasks after which `notify` reports how the run ended, whatever happens in it.

        KFP allows no outputs of a pipeline with such a group.

        Args:
            parameters: the pipeline's parameters by name.
            pipeline_name: name of the pipeline, for the report.
        """
        task = self._make(notify, {**parameters, "pipeline_name": pipeline_name}, caching=False)
        if self.webhook_secret:
            set_webhook_secret(task, self.webhook_secret)
        return dsl.ExitHandler(task, name="retraining")

    def ingest(self, parameters: Mapping[str, Any]) -> Any:
        """Creates the task that ingests split logs. Not cached: the files at a path may change."""
        return self._make(ingest, parameters, caching=False).outputs["events"]

    def sessionize(self, parameters: Mapping[str, Any]) -> Any:
        """Creates the task that cuts a raw log into sessions. Not cached, like `ingest`."""
        return self._make(sessionize, parameters, caching=False).outputs["events"]

    def recommend(self, parameters: Mapping[str, Any]) -> Any:
        """Creates the task that answers all sessions of a log with a published version; for pipelines of your own.

        Not cached: the files at a path, and what is published, may change.

        Args:
            parameters: values of the component's inputs by name; `sessions_path` and `serving_uri` at least.
        """
        return self._make(recommend, parameters, caching=False).outputs["recommendations"]

    def vocabulary_of_trials(self, parameters: Mapping[str, Any]) -> Any:
        """Creates the task that counts the items of train, for the trials of a search."""
        values = {**parameters, "refit": False}
        return self._make(count_items, values, caching=True, name="vocabulary-of-trials").outputs["vocabulary"]

    def suggest(self, parameters: Mapping[str, Any], *, number: int) -> Any:
        """Creates the task that proposes the points of a round; returns its outputs.

        Args:
            parameters: values of the component's inputs by name, and others.
            number: number of the task in the pipeline.
        """
        return self._make(suggest, parameters, caching=True, name=f"suggest-{number}").outputs

    def trial(self, parameters: Mapping[str, Any], point: Any) -> Any:
        """Creates the task that tries a point; returns its outcome. It has no record, since those of a loop are one.

        Args:
            parameters: values of the inputs of `train` by name, and others.
            point: the point, as a JSON object.
        """
        values = {**parameters, **self.fixed_parameters, "point": point, "trial": True, "refit": False}
        tried = self._make(train, {**values, "records_uri": ""}, caching=True)
        if self.checkpoint_claim:
            mount_checkpoints(tried, self.checkpoint_claim)
        return tried.outputs["Output"]

    def from_events(self, events: Any, parameters: Mapping[str, Any]) -> Artifacts:
        """Creates the tasks that follow the events: vocabulary, train, evaluate, export and report.

        Args:
            events: the events artifact of a task.
            parameters: the pipeline's parameters by name; each task takes those of its component.
        """
        return self._from_events(events, parameters)[0]

    def from_events_to_publication(self, events: Any, parameters: Mapping[str, Any]) -> None:
        """Creates the tasks that follow the events, up to the gate and, if it lets the model pass, publish.

        With the parameter `refit_on_test`, what is published is another model, trained on all splits after the gate.
        What reads or changes the serving location, the gate and what follows it are not cached.

        Args:
            events: the events artifact of a task.
            parameters: as for `from_events`.
        """
        evaluated, champion_version = self._from_events(events, {**parameters, **UNCHECKED_INDEX})
        gated = self._make(gate, {**parameters, **evaluated._asdict()}, caching=False).outputs
        values = {
            **parameters,
            **evaluated._asdict(),
            "verdict": gated["verdict"],
            "publication_key": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            "champion_version": champion_version,
        }
        # KFP's local runner finds the value of a condition by the name `Output` alone.
        with dsl.If(gated["Output"] == True, name="passed"):  # noqa: E712 (KFP overloads the operator)
            with dsl.If(parameters["refit_on_test"] == True, name="refit"):  # noqa: E712
                self._make(publish, {**values, **self._refit(evaluated, parameters)}, caching=False, name="publish")
            with dsl.Else(name="as-evaluated"):
                self._make(publish, values, caching=False, name="publish")

    def _refit(self, evaluated: Artifacts, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Creates the tasks that train on all splits, and check the result against the evaluated model.

        Returns:
            The artifacts to publish, by the names of the inputs of `publish`.
        """
        values = {**parameters, **self.fixed_parameters, "events": evaluated.events, "include_test": True}
        values |= UNCHECKED_INDEX
        made = self._make(count_items, values, caching=False, name="vocabulary-2").outputs
        values |= {"vocabulary": made["vocabulary"], "evaluated_model": evaluated.model}
        training = self._make(train, values, caching=False, name="train-2")
        if self.checkpoint_claim:
            mount_checkpoints(training, self.checkpoint_claim)
        values["model"] = training.outputs["model"]
        exported = self._make(export, values, caching=False, name="export-2").outputs
        values |= {"index_check": exported["index_check"], "evaluated_vocabulary": evaluated.vocabulary}
        verified = self._make(verify, values, caching=False).outputs
        return {
            "vocabulary": values["vocabulary"],
            "model": values["model"],
            "index": exported["index"],
            "verification": verified["verification"],
        }

    def _from_events(self, events: Any, parameters: Mapping[str, Any]) -> tuple[Artifacts, Any]:
        """Creates the tasks of `from_events`; also returns the version that the model is compared with."""
        vocabulary = self._make(count_items, {**parameters, "events": events}, caching=True).outputs["vocabulary"]
        inputs = {**parameters, **self.fixed_parameters, "events": events, "vocabulary": vocabulary}
        training = self._make(train, inputs, caching=True)
        if self.checkpoint_claim:
            mount_checkpoints(training, self.checkpoint_claim)
        trained = training.outputs
        inputs["model"] = trained["model"]
        exported = self._make(export, inputs, caching=True).outputs
        evaluated = self._make(evaluate, inputs, caching="serving_uri" not in parameters).outputs
        made = {**inputs, **exported, **evaluated}
        # Not cached: the item table at a path may change. No task waits for the report.
        reported = self._make(report, made, caching=False).outputs
        artifacts = Artifacts(
            events=events,
            vocabulary=vocabulary,
            model=trained["model"],
            tensorboard=trained["tensorboard"],
            metrics=evaluated["metrics"],
            ranks=evaluated["ranks"],
            examples=evaluated["examples"],
            index=exported["index"],
            embeddings=exported["embeddings"],
            index_check=exported["index_check"],
            report=reported["report"],
        )
        return artifacts, evaluated["Output"]
