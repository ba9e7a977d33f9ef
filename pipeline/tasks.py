"""The tasks that the pipelines share, with the settings that are fixed at compile time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kfp import dsl, kubernetes

from components.evaluate.component import evaluate
from components.export.component import export
from components.gate.component import gate
from components.image import IMAGE, USER_ID
from components.ingest.component import ingest
from components.publish.component import publish
from components.sessionize.component import sessionize
from components.train.component import train
from components.vocabulary.component import vocabulary as count_items

PLATFORMS = ("local", "kfp", "vertex")

# Keys of the secret; clients of S3-compatible stores read environment variables of the same names. Stores other than
# Amazon's need the optional ones.
SECRET_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
OPTIONAL_SECRET_KEYS = ("AWS_ENDPOINT_URL", "AWS_REGION")
CHECKPOINT_MOUNT = "/checkpoints"

# The components of `Tasks.from_events`.
MODEL_COMPONENTS = (count_items, train, evaluate, export)
# The components that `Tasks.from_events_to_publication` adds, and their parameters that it sets itself.
PUBLICATION_COMPONENTS = (gate, publish)
# The gate judges the recall of the index, so the export of `Tasks.from_events_to_publication` does not.
PUBLICATION_PARAMETERS = ("publication_key", "champion_version", "min_index_recall")

# The tasks that read or write external data, with the parameters that hold its location. They get the object store's
# secret in the pipelines that have the parameters.
OUTSIDE_PARAMETERS = {
    "ingest": ("train_path", "valid_path", "test_path", "previous_events"),
    "sessionize": ("log_path", "previous_events"),
    "evaluate": ("serving_uri",),
    "publish": ("serving_uri",),
}


class Artifacts(NamedTuple):
    """The output artifacts of a pipeline."""

    events: dsl.Dataset
    vocabulary: dsl.Dataset
    model: dsl.Model
    tensorboard: dsl.Artifact
    metrics: dsl.Metrics
    index: dsl.Model
    embeddings: dsl.Dataset
    index_check: dsl.Metrics


class JudgedArtifacts(NamedTuple):
    """The output artifacts of a pipeline with a gate. The manifest is none of them: KFP has no optional outputs."""

    events: dsl.Dataset
    vocabulary: dsl.Dataset
    model: dsl.Model
    tensorboard: dsl.Artifact
    metrics: dsl.Metrics
    index: dsl.Model
    embeddings: dsl.Dataset
    index_check: dsl.Metrics
    verdict: dsl.Artifact
    gate_report: dsl.Markdown


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Resources and limits of a task on a cluster.

    Attributes:
        cpu: CPU request.
        cpu_limit: CPU limit; on Vertex, it selects the machine type.
        memory: memory request, in Kubernetes notation.
        memory_limit: memory limit, beyond which the task is killed; on Vertex, it selects the machine type.
        shared_memory: size of /dev/shm, which counts towards the memory limit; empty for the runtime's 64 MiB.
        timeout_hours: time limit of an attempt, after which the pod is killed and the attempt has failed.
        num_retries: maximum number of retries, after 1, 2, 4, ... minutes.
        accelerated: whether the task gets the pipeline's accelerators.
    """

    cpu: str = "1"
    cpu_limit: str = "2"
    memory: str = "2Gi"
    memory_limit: str = "4Gi"
    shared_memory: str = ""
    timeout_hours: int = 2
    num_retries: int = 2
    accelerated: bool = False


# Sized for logs of about ten million events. Other components get the defaults.
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
    "publish": Resources(memory="4Gi", memory_limit="16Gi"),
}


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
        checkpoint_claim: kfp only: name of the PersistentVolumeClaim whose volume stores the checkpoints, so that a
            training resumes after its node is lost; empty for none. It fixes `checkpoint_root`.

    Raises:
        ValueError: an attribute is invalid, or the attributes cannot be combined.
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
                "vertex": (r"[A-Z][A-Z0-9_]+", "an accelerator type of Vertex such as NVIDIA_L4"),
            }.get(self.platform, (r"", "empty for a local run, which uses the hardware of this machine"))
            if not re.fullmatch(pattern, self.accelerator):
                raise ValueError(f"Expected the accelerator to be {example}. Received: {self.accelerator!r}")
        if self.num_accelerators < 1:
            raise ValueError(f"Expected at least 1 accelerator. Received: {self.num_accelerators}")
        if self.num_accelerators > 1 and not self.accelerator:
            raise ValueError(f"Expected the name of the accelerator. Received: {self.num_accelerators} without a name")
        if (self.object_store_secret or self.checkpoint_claim) and self.platform != "kfp":
            raise ValueError(f"Expected the platform kfp for a secret or a volume claim. Received: {self.platform!r}")

    @property
    def fixed_parameters(self) -> dict[str, Any]:
        """Values of component parameters that the graph sets itself."""
        return {"checkpoint_root": CHECKPOINT_MOUNT} if self.checkpoint_claim else {}

    def _make(self, component: Any, values: Mapping[str, Any], *, caching: bool) -> dsl.PipelineTask:
        """Creates the component's task; values that are not inputs of the component are ignored."""
        task = component(**{name: values[name] for name in component.component_spec.inputs if name in values})
        task.set_container_image(self.image)
        task.set_caching_options(caching)
        if self.platform != "local":
            resources = RESOURCES.get(component.name, Resources())
            self._set_resources(task, resources)
            if self.platform == "kfp":
                self._set_pod(task, component.name, resources)
                if self.object_store_secret and values.keys() & set(OUTSIDE_PARAMETERS.get(component.name, ())):
                    self._set_secret(task)
        return task

    def _set_resources(self, task: dsl.PipelineTask, resources: Resources) -> None:
        task.set_cpu_request(resources.cpu).set_cpu_limit(resources.cpu_limit)
        task.set_memory_request(resources.memory).set_memory_limit(resources.memory_limit)
        task.set_retry(resources.num_retries, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration="3600s")
        if self.accelerator and resources.accelerated:
            task.set_accelerator_type(self.accelerator).set_accelerator_limit(self.num_accelerators)

    def _set_pod(self, task: dsl.PipelineTask, name: str, resources: Resources) -> None:
        """Sets what only Kubernetes supports."""
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
            # Clusters reserve nodes with accelerators by a taint with the name of the resource.
            kubernetes.add_toleration(task, key=self.accelerator, operator="Exists", effect="NoSchedule")

    def _set_secret(self, task: dsl.PipelineTask) -> None:
        for keys, optional in ((SECRET_KEYS, False), (OPTIONAL_SECRET_KEYS, True)):
            kubernetes.use_secret_as_env(task, self.object_store_secret, {key: key for key in keys}, optional=optional)

    def ingest(self, parameters: Mapping[str, Any]) -> Any:
        """Creates the task that ingests split logs. Not cached: the files at a path may change."""
        return self._make(ingest, parameters, caching=False).outputs["events"]

    def sessionize(self, parameters: Mapping[str, Any]) -> Any:
        """Creates the task that cuts a raw log into sessions. Not cached, like `ingest`."""
        return self._make(sessionize, parameters, caching=False).outputs["events"]

    def from_events(self, events: Any, parameters: Mapping[str, Any]) -> Artifacts:
        """Creates the tasks that follow the events: vocabulary, train, evaluate and export.

        Args:
            events: the events artifact of a task.
            parameters: the pipeline's parameters by name; each task takes those of its component.
        """
        return self._from_events(events, parameters)[0]

    def from_events_to_publication(self, events: Any, parameters: Mapping[str, Any]) -> JudgedArtifacts:
        """Creates the tasks that follow the events, up to the gate and, if it lets the model pass, publish.

        What reads or changes the serving location, and the gate, is not cached.

        Args:
            events: the events artifact of a task.
            parameters: as for `from_events`.
        """
        made, champion_version = self._from_events(events, {**parameters, "min_index_recall": 0.0})
        gated = self._make(gate, {**parameters, **made._asdict()}, caching=False).outputs
        # KFP's local runner finds the value of a condition by the name `Output` alone.
        with dsl.If(gated["Output"] == True, name="passed"):  # noqa: E712 (KFP overloads the operator)
            values = {
                **parameters,
                **made._asdict(),
                "verdict": gated["verdict"],
                "publication_key": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                "champion_version": champion_version,
            }
            self._make(publish, values, caching=False)
        return JudgedArtifacts(**made._asdict(), verdict=gated["verdict"], gate_report=gated["gate_report"])

    def _from_events(self, events: Any, parameters: Mapping[str, Any]) -> tuple[Artifacts, Any]:
        """Creates the tasks of `from_events`; also returns the version that the model is compared with."""
        vocabulary = self._make(count_items, {**parameters, "events": events}, caching=True).outputs["vocabulary"]
        inputs = {**parameters, **self.fixed_parameters, "events": events, "vocabulary": vocabulary}
        training = self._make(train, inputs, caching=True)
        if self.checkpoint_claim:
            kubernetes.mount_pvc(training, pvc_name=self.checkpoint_claim, mount_path=CHECKPOINT_MOUNT)
        trained = training.outputs
        inputs["model"] = trained["model"]
        exported = self._make(export, inputs, caching=True).outputs
        evaluated = self._make(evaluate, inputs, caching="serving_uri" not in parameters).outputs
        artifacts = Artifacts(
            events=events,
            vocabulary=vocabulary,
            model=trained["model"],
            tensorboard=trained["tensorboard"],
            metrics=evaluated["metrics"],
            index=exported["index"],
            embeddings=exported["embeddings"],
            index_check=exported["index_check"],
        )
        return artifacts, evaluated["Output"]
