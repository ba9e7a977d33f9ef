"""The tasks that the pipelines share, and what is fixed for each when a pipeline is compiled."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kfp import dsl, kubernetes

from components.evaluate.component import evaluate
from components.export.component import export
from components.image import IMAGE, USER_ID
from components.ingest.component import ingest
from components.sessionize.component import sessionize
from components.train.component import train
from components.vocabulary.component import vocabulary as count_items

PLATFORMS = ("local", "kfp", "vertex")

# The keys of the secret and the variables that the clients of S3-compatible stores read; the optional ones are for
# stores other than Amazon's.
SECRET_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
OPTIONAL_SECRET_KEYS = ("AWS_ENDPOINT_URL", "AWS_REGION")
CHECKPOINT_MOUNT = "/checkpoints"

# The components of `Tasks.from_events`.
MODEL_COMPONENTS = (count_items, train, evaluate, export)


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
class Resources:
    """What a task gets from the cluster.

    Attributes:
        cpu: processors that are set aside for it.
        cpu_limit: processors it may use when they are free; on Vertex this picks the machine.
        memory: memory that is set aside for it, as Kubernetes writes it.
        memory_limit: memory at which it is killed; on Vertex this picks the machine.
        shared_memory: size of /dev/shm, which counts towards the memory; empty for the runtime's 64 MiB.
        timeout_hours: a pod that is older is killed, and counts as failed.
        num_retries: how often a failed task is started again, after 1, 2, 4, ... minutes.
        accelerated: whether it gets the pipeline's accelerators.
    """

    cpu: str = "1"
    cpu_limit: str = "2"
    memory: str = "2Gi"
    memory_limit: str = "4Gi"
    shared_memory: str = ""
    timeout_hours: int = 2
    num_retries: int = 2
    accelerated: bool = False


# Sized for logs of the order of ten million events; a component that does not stand here gets the defaults.
RESOURCES = {
    "ingest": Resources(memory="4Gi", memory_limit="16Gi", num_retries=4),
    "sessionize": Resources(cpu="2", cpu_limit="8", memory="8Gi", memory_limit="32Gi", num_retries=4),
    "train": Resources(
        cpu="4",
        cpu_limit="8",
        memory="8Gi",
        memory_limit="32Gi",
        shared_memory="2Gi",
        timeout_hours=24,
        accelerated=True,
    ),
    "evaluate": Resources(cpu="2", cpu_limit="8", memory="4Gi", memory_limit="16Gi"),
    "export": Resources(memory="4Gi", memory_limit="16Gi"),
}


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Makes tasks. What is fixed when compiling stands here, what a run may change are the arguments.

    Attributes:
        image: container image of every task.
        platform: where the tasks are to run: local, kfp or vertex. Only a cluster's tasks have resources and retries.
        accelerator: accelerator of the training: on kfp the resource's name (`nvidia.com/gpu`), on vertex the type
            (`NVIDIA_L4`); empty for none.
        num_accelerators: how many of them.
        object_store_secret: kfp only: name of the Kubernetes secret with the keys of an S3-compatible store, for
            the tasks that read the outside world; empty for none.
        checkpoint_claim: kfp only: name of the PersistentVolumeClaim whose volume keeps the checkpoints of trainings,
            so that one whose node is lost goes on; empty for none, or for a `checkpoint_root` that is there anyway.

    Raises:
        ValueError: an attribute is not as described, or they do not go together.
    """

    image: str = IMAGE
    platform: str = "local"
    accelerator: str = ""
    num_accelerators: int = 1
    object_store_secret: str = ""
    checkpoint_claim: str = ""

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            raise ValueError(f"Expected a platform, one of {', '.join(PLATFORMS)}. Received: {self.platform!r}")
        if self.accelerator:
            pattern, example = {
                "kfp": (r"[\w.-]+/[\w.-]+", "a resource of the cluster such as nvidia.com/gpu"),
                "vertex": (r"[A-Z][A-Z0-9_]+", "a type of Vertex's such as NVIDIA_L4"),
            }.get(self.platform, (r"", "none, because a local run takes the machine as it is"))
            if not re.fullmatch(pattern, self.accelerator):
                raise ValueError(f"Expected the accelerator to be {example}. Received: {self.accelerator!r}")
        if self.num_accelerators < 1:
            raise ValueError(f"Expected at least 1 accelerator. Received: {self.num_accelerators}")
        if (self.object_store_secret or self.checkpoint_claim) and self.platform != "kfp":
            raise ValueError(f"Expected Kubernetes' secrets and claims on kfp only. Received: {self.platform!r}")

    @property
    def fixed(self) -> dict[str, Any]:
        """Values of components' parameters that the graph sets itself."""
        return {"checkpoint_root": CHECKPOINT_MOUNT} if self.checkpoint_claim else {}

    def _make(self, component: Any, values: Mapping[str, Any], *, caching: bool) -> dsl.PipelineTask:
        """Makes the component's task out of those values whose names are its inputs'."""
        task = component(**{name: values[name] for name in component.component_spec.inputs if name in values})
        task.set_container_image(self.image)
        task.set_caching_options(caching)
        if self.platform != "local":
            resources = RESOURCES.get(component.name, Resources())
            self._set_resources(task, resources)
            if self.platform == "kfp":
                self._set_pod(task, component.name, resources)
                if self.object_store_secret and not caching:
                    self._set_secret(task)
        return task

    def _set_resources(self, task: dsl.PipelineTask, resources: Resources) -> None:
        task.set_cpu_request(resources.cpu).set_cpu_limit(resources.cpu_limit)
        task.set_memory_request(resources.memory).set_memory_limit(resources.memory_limit)
        task.set_retry(resources.num_retries, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration="3600s")
        if self.accelerator and resources.accelerated:
            task.set_accelerator_type(self.accelerator).set_accelerator_limit(self.num_accelerators)

    def _set_pod(self, task: dsl.PipelineTask, name: str, resources: Resources) -> None:
        """Sets what only Kubernetes knows."""
        kubernetes.add_pod_label(task, "app.kubernetes.io/name", "two-tower")
        kubernetes.add_pod_label(task, "app.kubernetes.io/component", name)
        kubernetes.set_security_context(task, run_as_user=USER_ID, run_as_group=USER_ID, run_as_non_root=True)
        kubernetes.set_timeout(task, resources.timeout_hours * 3600)
        if resources.shared_memory:
            kubernetes.empty_dir_mount(
                task,
                volume_name="shm",
                mount_path="/dev/shm",  # noqa: S108
                medium="Memory",
                size_limit=resources.shared_memory,
            )
        if self.accelerator and resources.accelerated:
            # Clusters keep their expensive nodes free with a taint of the resource's name.
            kubernetes.add_toleration(task, key=self.accelerator, operator="Exists", effect="NoSchedule")

    def _set_secret(self, task: dsl.PipelineTask) -> None:
        for keys, optional in ((SECRET_KEYS, False), (OPTIONAL_SECRET_KEYS, True)):
            kubernetes.use_secret_as_env(task, self.object_store_secret, {key: key for key in keys}, optional=optional)

    def ingest(self, parameters: Mapping[str, Any]) -> Any:
        """The events of split logs. What lies behind an unchanged path may change: never cached."""
        return self._make(ingest, parameters, caching=False).outputs["events"]

    def sessionize(self, parameters: Mapping[str, Any]) -> Any:
        """The events of a raw log. Never cached, like `ingest`."""
        return self._make(sessionize, parameters, caching=False).outputs["events"]

    def from_events(self, events: Any, parameters: Mapping[str, Any]) -> Artifacts:
        """Everything behind the events: vocabulary, then the training, then evaluation and export of its model.

        Args:
            events: the events artifact of a task.
            parameters: the pipeline's, by name; each task takes those that its component has.
        """
        vocabulary = self._make(count_items, {**parameters, "events": events}, caching=True).outputs["vocabulary"]
        inputs = {**parameters, **self.fixed, "events": events, "vocabulary": vocabulary}
        training = self._make(train, inputs, caching=True)
        if self.checkpoint_claim:
            kubernetes.mount_pvc(training, pvc_name=self.checkpoint_claim, mount_path=CHECKPOINT_MOUNT)
        trained = training.outputs
        inputs["model"] = trained["model"]
        exported = self._make(export, inputs, caching=True).outputs
        return Artifacts(
            events=events,
            vocabulary=vocabulary,
            model=trained["model"],
            tensorboard=trained["tensorboard"],
            metrics=self._make(evaluate, inputs, caching=True).outputs["metrics"],
            index=exported["index"],
            embeddings=exported["embeddings"],
        )
