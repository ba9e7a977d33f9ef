"""Training: batches, epochs, selection by exact recall on the validation sessions, resuming."""

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.core.sequences import PADDING, Batch, Sessions, Windows, make_batch, make_pairs, pad_batch, plan_batches
from components.core.vocabulary import UNKNOWN
from components.train.checkpoints import Checkpoints, History
from components.train.distribution import has_gpu, is_chief, take_from_chief
from components.train.model import TwoTower
from components.train.optimizers import LazyAdam
from components.train.parameters import TrainParameters
from components.train.progress import TrainingProgress
from components.train.trend import log_trend
from components.train.validation import validate

SELECTION_METRICS = ("recall@20", "mrr@20")  # their sum selects the epoch
VALIDATION_KS = (1, 10, 20)
MIN_BATCH_SIZE = 64  # of a batch of a small log
WARMUP_EPOCHS = 0.5  # length of the cosine schedule's linear warm-up
STEPS_PER_CALL = 16  # number of steps on a CPU between two returns to Python, where the cores would wait


def train(
    parameters: TrainParameters,
    *,
    sessions: Sessions,
    valid: Sessions | None,
    num_items: int,
    num_epochs: int,
    checkpoint_dir: Path,
    tensorboard_dir: Path | None = None,
    pointer: npt.NDArray[np.float32] | None = None,
    start: Callable[[TwoTower], None] | None = None,
    strategy: tf.distribute.Strategy | None = None,
    progress: TrainingProgress | None = None,
) -> tuple[TwoTower, History]:
    """Trains a model.

    With validation sessions, training stops after `patience` epochs without a better sum of recall@20 and MRR@20, and
    returns the weights of the best epoch; otherwise it returns the weights of the last epoch. Every epoch ends with a
    checkpoint. A training that finds its own checkpoints resumes after the last epoch.

    With several replicas, each processes its share of each batch, all apply the same update, and the chief writes.

    Args:
        parameters: the training parameters.
        sessions: training sessions.
        valid: validation sessions for selecting the epoch; None to skip the selection.
        num_items: number of items in the vocabulary.
        num_epochs: maximum number of epochs; the learning rate schedule always covers `parameters.max_epochs`.
        checkpoint_dir: folder for the checkpoints of this training.
        tensorboard_dir: folder for TensorBoard logs; None to write none.
        pointer: [NUM_FEATURES] weights that the pointer serves if there are no validation sessions to fit them to; None
            for those learned in the loss.
        start: gives the new model its first weights; None for random ones.
        strategy: from `make_strategy`; by default the current strategy.
        progress: the progress of the step; by default, that of this training alone.

    Returns:
        The model, outside the strategy, and the history. Workers other than the chief get the weights of the last
        epoch.

    Raises:
        ValueError: the training sessions contain no target that is in the vocabulary, the validation sessions contain
            no target at all, a checkpoint does not fit the model, or a worker does not see the chief's checkpoints.
    """
    strategy = strategy or tf.distribute.get_strategy()
    windows = (
        make_pairs(sessions)
        if parameters.reads_session_ids
        else Windows.cut(sessions, max_length=parameters.max_session_length)
    )
    _check_targets(sessions, windows, valid)
    counts = np.bincount(sessions.items, minlength=num_items + 1)
    if valid is not None:
        # A refit's vocabulary has items of valid that this training never sees. In serving, such items are unknown.
        valid = replace(valid, items=np.where(counts[valid.items] > 0, valid.items, UNKNOWN).astype(np.int32))
    batch_size = choose_batch_size(parameters, windows.num_targets)
    tf.keras.utils.set_random_seed(parameters.random_seed)
    num_steps = len(plan_batches(windows.length, batch_size=batch_size))
    steps_per_call = 1 if has_gpu() or strategy.num_replicas_in_sync > 1 else min(STEPS_PER_CALL, num_steps)
    make_model = functools.partial(
        TwoTower,
        parameters,
        counts=counts[1:],
        num_sessions=sessions.num_sessions,
        trend=parameters.trend_weight * log_trend(sessions.items, num_items=num_items),
    )

    def build() -> TwoTower:
        model = make_model()
        model.build_variables()
        model.compile(optimizer=make_optimizer(parameters, num_steps), steps_per_execution=steps_per_call)
        model.optimizer.build(model.trainable_variables)
        return model

    with strategy.scope():
        model = build()
    checkpoints = Checkpoints(model, checkpoint_dir)
    history = checkpoints.restore()
    if start is not None and not history.epochs:
        start(model)
    _check_shared(strategy, history, checkpoint_dir)
    history.num_targets = windows.num_targets
    callbacks: list[tf.keras.callbacks.Callback] = [EpochEnd(parameters, history, checkpoints, valid, pointer)]
    if is_chief(strategy):
        progress = progress or TrainingProgress(num_epochs)
        callbacks.append(progress.follow(history, num_steps=num_steps, num_epochs=num_epochs))
    if tensorboard_dir is not None and is_chief(strategy):
        callbacks.append(tf.keras.callbacks.TensorBoard(tensorboard_dir, write_graph=False))
    if not _is_over(history, parameters, num_epochs):
        model.fit(
            strategy.distribute_datasets_from_function(
                lambda context: make_dataset(
                    sessions, windows, parameters, batch_size, first_epoch=len(history.epochs), replicas=context
                )
            ),
            epochs=num_epochs,
            initial_epoch=len(history.epochs),
            steps_per_epoch=num_steps,
            callbacks=callbacks,
            verbose=0,
        )
    if is_chief(strategy):
        if strategy.num_replicas_in_sync > 1:
            model = build()
            checkpoints = Checkpoints(model, checkpoint_dir)
        checkpoints.restore_epoch(history.best_epoch)
    return model, history


def choose_batch_size(parameters: TrainParameters, num_targets: int) -> int:
    """Returns the maximum number of positions per batch.

    It is `batch_size`, or less for small logs, so that an epoch has about `min_steps_per_epoch` steps: a fixed number
    of epochs with few steps each ends long before the model has learned the log (docs/experiments.md).
    """
    if parameters.min_steps_per_epoch == 0:
        return parameters.batch_size
    few = max(num_targets // parameters.min_steps_per_epoch, MIN_BATCH_SIZE)
    return min(parameters.batch_size, few)


def _check_targets(sessions: Sessions, windows: Windows, valid: Sessions | None) -> None:
    if windows.num_targets == 0:
        raise ValueError(f"Expected training sessions with at least two events. Received: {_describe(sessions)}")
    num_known = np.append(0, np.cumsum(sessions.items > UNKNOWN))  # number of known items before each event
    if (num_known[windows.start + windows.length + 1] == num_known[windows.start + 1]).all():
        raise ValueError(
            "Expected training sessions with a target that is in the vocabulary. "
            f"Received: {_describe(sessions)} and only unknown items after the first event of each session. "
            "Lower min_item_count, or use more sessions"
        )
    if valid is not None and (valid.lengths < 2).all():
        raise ValueError(
            "Expected validation sessions with at least two events, to select the epoch on. "
            f"Received: {_describe(valid)}. Use more validation sessions (or a higher max_valid_targets), or train "
            "without validation: max_epochs=1 and refit=True"
        )


def _describe(sessions: Sessions) -> str:
    return f"{sessions.num_sessions} sessions with {len(sessions.items)} events in all"


def _check_shared(strategy: tf.distribute.Strategy, history: History, checkpoint_dir: Path) -> None:
    [num_epochs] = take_from_chief(strategy, [len(history.epochs)])
    if num_epochs != len(history.epochs):
        raise ValueError(
            f"Expected a checkpoint_root shared by all workers, with the chief's {num_epochs:.0f} finished epochs. "
            f"Received: {len(history.epochs)} in {checkpoint_dir}"
        )


def make_optimizer(parameters: TrainParameters, num_steps: int) -> tf.keras.optimizers.Optimizer:
    """Creates Adam or Adagrad with the learning rate schedule, for `num_steps` steps per epoch."""
    rate: Any = parameters.learning_rate
    if parameters.learning_rate_schedule == "cosine":
        warmup_steps = int(WARMUP_EPOCHS * num_steps)
        rate = tf.keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup_steps else rate,
            decay_steps=max(1, parameters.max_epochs * num_steps - warmup_steps),
            warmup_target=rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    if parameters.optimizer == "adagrad":
        return tf.keras.optimizers.Adagrad(rate)
    scale = (parameters.table_learning_rate or parameters.learning_rate) / parameters.learning_rate
    return LazyAdam(rate, table_scale=scale)


def make_dataset(
    sessions: Sessions,
    windows: Windows,
    parameters: TrainParameters,
    batch_size: int,
    *,
    first_epoch: int,
    replicas: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Yields batches endlessly; the order of epoch n depends only on the seed and n.

    Each batch is split into one share per replica, and this process yields the shares of its own replicas in order.
    All shares have the length of their batch. If there are fewer sessions than replicas, a replica without a session
    gets the batch's first session without targets, so that the replicas together read the same rows of the embedding
    table as the whole batch.
    """
    replicas = replicas or tf.distribute.InputContext()
    num_replicas = max(1, replicas.num_replicas_in_sync)
    num_here = num_replicas // replicas.num_input_pipelines
    first = replicas.input_pipeline_id * num_here

    def batches() -> Iterator[dict[str, npt.NDArray[np.int32]]]:
        for epoch in itertools.count(first_epoch):
            rng = np.random.default_rng([parameters.random_seed, epoch])
            for rows in plan_batches(windows.length, batch_size=batch_size, rng=rng):
                batch = make_batch(sessions, windows, rows)
                for replica in range(first, first + num_here):
                    share, targets = slice(replica, None, num_replicas), batch.targets
                    if replica >= len(rows):
                        share, targets = slice(1), np.full_like(targets, PADDING)
                    part = Batch(batch.session[share] + 1, batch.items[share], targets[share])
                    if parameters.jit_compile:
                        part = pad_batch(part, batch_size // num_replicas)
                    yield part._asdict()

    signature = {
        "session": tf.TensorSpec([None], tf.int32),
        "items": tf.TensorSpec([None, None], tf.int32),
        "targets": tf.TensorSpec([None, None], tf.int32),
    }
    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(4)


class EpochEnd(tf.keras.callbacks.Callback):
    """Validates, selects the best epoch, saves a checkpoint and stops early, in this order, hence in one callback."""

    def __init__(
        self,
        parameters: TrainParameters,
        history: History,
        checkpoints: Checkpoints,
        valid: Sessions | None,
        pointer: npt.NDArray[np.float32] | None,
    ) -> None:
        super().__init__()
        self.parameters = parameters
        self.history = history
        self.checkpoints = checkpoints
        self.valid = valid
        self.pointer = pointer
        self.begin = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the epoch timer."""
        self.begin = perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Ends the epoch; entries added to `logs` are shown in TensorBoard and the terminal."""
        seconds = perf_counter() - self.begin
        for name in ("loss", "regularization_loss", "total_loss"):
            logs.pop(name, None)  # they cover only the last batch
        logs["mean_loss"] = float(self.model.mean_loss.result())  # over all replicas; `logs` has a sum over them
        logs["seconds"] = seconds
        logs["targets_per_second"] = self.history.num_targets / seconds
        if self.valid is not None:
            logs.update(
                (f"valid_{name}", value) for name, value in validate(self.model, self.valid, VALIDATION_KS).items()
            )
        elif self.model.pointer is not None:
            self.model.pointer.serve(self.pointer)
        strategy = self.model.distribute_strategy
        logs.update(zip(logs, take_from_chief(strategy, list(logs.values())), strict=True))
        self.history.epochs.append({name: float(value) for name, value in logs.items()})
        self.history.best_epoch = _best_epoch(self.history)
        if is_chief(strategy):
            self.checkpoints.save(self.history)
        if _is_over(self.history, self.parameters, len(self.history.epochs) + 1):
            self.model.stop_training = True


def _best_epoch(history: History) -> int:
    names = [f"valid_{name}" for name in SELECTION_METRICS]
    values = [sum(epoch[name] for name in names) for epoch in history.epochs if names[0] in epoch]
    return 1 + values.index(max(values)) if values else len(history.epochs)


def _is_over(history: History, parameters: TrainParameters, num_epochs: int) -> bool:
    done = len(history.epochs)
    return done >= num_epochs or done - history.best_epoch >= parameters.patience
