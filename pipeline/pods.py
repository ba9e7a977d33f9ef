"""What the pods of a task have: resources and retries and, on Kubernetes, labels, users, secrets and volumes."""

from kfp import dsl, kubernetes

from components.image import USER_ID
from components.notify.step import WEBHOOK_VARIABLE
from pipeline.resources import Resources

# Keys of the secret; clients of S3-compatible stores read environment variables of the same names. Stores other than
# Amazon's need the optional ones.
SECRET_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
OPTIONAL_SECRET_KEYS = ("AWS_ENDPOINT_URL", "AWS_REGION")
CHECKPOINT_MOUNT = "/checkpoints"


def set_resources(task: dsl.PipelineTask, resources: Resources) -> None:
    """Sets the requests, the limits and the retries of a task."""
    task.set_cpu_request(resources.cpu).set_cpu_limit(resources.cpu_limit)
    task.set_memory_request(resources.memory).set_memory_limit(resources.memory_limit)
    task.set_retry(resources.num_retries, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration="3600s")


def set_pod(task: dsl.PipelineTask, name: str, resources: Resources, *, accelerator: str) -> None:
    """Sets what only Kubernetes supports.

    Args:
        task: the task.
        name: name of its component.
        resources: its resources.
        accelerator: resource name of its accelerator; empty for none.
    """
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
    if accelerator:
        # Clusters reserve nodes with accelerators by a taint with the name of the resource.
        kubernetes.add_toleration(task, key=accelerator, operator="Exists", effect="NoSchedule")


def set_object_store_secret(task: dsl.PipelineTask, secret: str) -> None:
    """Gives a task the keys of an object store as environment variables."""
    for keys, optional in ((SECRET_KEYS, False), (OPTIONAL_SECRET_KEYS, True)):
        kubernetes.use_secret_as_env(task, secret, {key: key for key in keys}, optional=optional)


def set_webhook_secret(task: dsl.PipelineTask, secret: str) -> None:
    """Gives a task the address of the webhook as an environment variable, which is also the key in the secret."""
    kubernetes.use_secret_as_env(task, secret, {WEBHOOK_VARIABLE: WEBHOOK_VARIABLE})


def mount_checkpoints(task: dsl.PipelineTask, claim: str) -> None:
    """Mounts the volume for the checkpoints of a training."""
    kubernetes.mount_pvc(task, pvc_name=claim, mount_path=CHECKPOINT_MOUNT)
