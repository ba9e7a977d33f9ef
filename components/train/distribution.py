"""Distribution of a training: one device, all GPUs of this machine, or the workers listed in TF_CONFIG."""

import json
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

TRAINING_TASKS = ("chief", "worker")


def make_strategy() -> tf.distribute.Strategy:
    """Chooses the distribution strategy.

    Several workers in `TF_CONFIG`, which Kubeflow Trainer and Vertex AI set: MultiWorkerMirroredStrategy, which must be
    created before any other TensorFlow operation. One worker with several GPUs: MirroredStrategy. Otherwise: the
    default strategy.

    Raises:
        ValueError: `TF_CONFIG` is not valid JSON, or lists tasks other than chief and worker.
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
    """Whether TensorFlow sees a GPU; `make_gru` then uses a different layer."""
    return bool(tf.config.list_physical_devices("GPU"))


def describe_runtime() -> dict[str, Any]:
    """Describes the runtime that, besides parameters and sources, determines the model's layers and results."""
    return {"tensorflow": tf.__version__, "gpu": has_gpu()}


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the outputs: the chief, or worker 0 if there is no chief."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return bool(resolver.task_type == "chief" if has_chief else resolver.task_id == 0)


def take_from_chief(strategy: tf.distribute.Strategy, values: Sequence[float]) -> list[float]:
    """Broadcasts the chief's values to all workers; every worker must pass the same number of values.

    Floating-point results may differ slightly between machines. With the chief's values all workers make the same
    decisions, such as early stopping: if one worker stopped earlier, the others would wait for it forever.
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
    """Returns the number of this replica, [] int32; the chief's first replica is 0."""
    return tf.convert_to_tensor(tf.distribute.get_replica_context().replica_id_in_sync_group)


def gather_replicas(rows: tf.Tensor) -> tf.Tensor:
    """Gathers the rows of all replicas, this replica's rows first; differentiable.

    Args:
        rows: [num_rows, ...]; the number of rows may differ between replicas.

    Returns:
        [total number of rows, ...].
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return rows
    num_rows = context.all_gather(tf.shape(rows)[:1], axis=0)
    num_before = tf.reduce_sum(num_rows[: replica_number()])
    return tf.roll(context.all_gather(rows, axis=0), -num_before, axis=0)
