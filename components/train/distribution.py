"""Where a training runs: in this process, on all its GPUs, or together with the workers that TF_CONFIG names."""

import json
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

TRAINING_TASKS = ("chief", "worker")


def make_strategy() -> tf.distribute.Strategy:
    """Chooses how variables and gradients are shared.

    Several workers in `TF_CONFIG`, as Kubeflow's Trainer and Vertex AI set it: MultiWorkerMirroredStrategy, which has
    to be made before TensorFlow does anything else. One worker with several GPUs: MirroredStrategy. Else: none.

    Raises:
        ValueError: `TF_CONFIG` is not JSON, or has tasks other than chief and workers.
    """
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(text)
        tasks = {task: len(addresses) for task, addresses in config.get("cluster", {}).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"Expected TF_CONFIG to be JSON with a mapping `cluster`. Received: {text!r}") from error
    if not set(tasks) <= set(TRAINING_TASKS):
        raise ValueError(f"Expected the tasks of TF_CONFIG to be {' and '.join(TRAINING_TASKS)}. Received: {text!r}")
    if sum(tasks.values()) > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU, on which a training has other layers."""
    return bool(tf.config.list_physical_devices("GPU"))


def describe_runtime() -> dict[str, Any]:
    """What besides parameters and sources decides which layers a model has, and what a step computes."""
    return {"tensorflow": tf.__version__, "gpu": has_gpu()}


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes: the chief, or where there is none, the first worker."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return bool(resolver.task_type == "chief" if has_chief else resolver.task_id == 0)


def take_from_chief(strategy: tf.distribute.Strategy, values: Sequence[float]) -> list[float]:
    """Gives every worker the chief's values, so that all decide alike; each has to call it with as many.

    What two machines compute alike may differ in the last digit, and a worker that stopped an epoch earlier would
    leave the others waiting for it.
    """
    if strategy.num_replicas_in_sync == 1:
        return list(values)

    @tf.function
    def add_up() -> tf.Tensor:
        def add() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            is_chief = tf.cast(replica_number() == 0, tf.float64)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(values, tf.float64) * is_chief)

        return strategy.experimental_local_results(strategy.run(add))[0]

    return [float(value) for value in add_up().numpy()]


def replica_number() -> tf.Tensor:
    """[] int32, which replica this is; the chief's first one is 0."""
    return tf.convert_to_tensor(tf.distribute.get_replica_context().replica_id_in_sync_group)


def gather_replicas(rows: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, this one's first; differentiable.

    Args:
        rows: [num_rows, ...]; each replica may have another number.

    Returns:
        [num_rows of all, ...].
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return rows
    num_rows = context.all_gather(tf.shape(rows)[:1], axis=0)
    num_before = tf.reduce_sum(num_rows[: replica_number()])
    return tf.roll(context.all_gather(rows, axis=0), -num_before, axis=0)
