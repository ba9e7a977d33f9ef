"""What a training says while it runs: the epoch, its metric, the throughput and the time that is left."""

from time import perf_counter
from typing import Any

import tensorflow as tf

from components.core.progress import Progress
from components.train.checkpoints import History


class TrainingProgress:
    """The progress of a step that trains once, or selects the number of epochs and then trains again.

    Args:
        max_epochs: maximum number of epochs of all trainings.
    """

    def __init__(self, max_epochs: int) -> None:
        self.max_epochs = max_epochs
        self.before = 0  # number of epochs of the trainings before this one
        self.name = "epoch"

    @classmethod
    def of_refit(cls, *, before: int, num_epochs: int) -> "TrainingProgress":
        """Returns the progress of the second training: `num_epochs` epochs after the `before` of the first."""
        progress = cls(before + num_epochs)
        progress.before, progress.name = before, "refit epoch"
        return progress

    def follow(self, history: History, *, num_steps: int, num_epochs: int) -> tf.keras.callbacks.Callback:
        """Creates the callback of one training, which goes on after the epochs of `history`."""
        begun = len(history.epochs)
        progress = Progress(self.max_epochs * num_steps, done=(self.before + begun) * num_steps)
        return _Steps(progress, history, name=self.name, num_steps=num_steps, num_epochs=num_epochs)


class _Steps(tf.keras.callbacks.Callback):
    """Writes a line now and then within an epoch, and one at the end of each, after the validation."""

    def __init__(self, progress: Progress, history: History, *, name: str, num_steps: int, num_epochs: int) -> None:
        super().__init__()
        self._supports_tf_logs = True  # else, Keras waits for the metrics of each step
        self.progress = progress
        self.history = history
        self.name = name
        self.num_steps = num_steps
        self.num_epochs = num_epochs
        self.is_compiled = False  # the first step compiles the graph, which takes as long as many steps
        self.begin = 0.0
        self.step = 0  # number of steps since `begin`
        self.last_step = 0  # number of steps of this epoch
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the epoch's clock."""
        self.begin, self.step, self.last_step, self.epoch = perf_counter(), 0, 0, epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Counts the steps since the last call; `batch` is the number of the last one in its epoch, from 0."""
        new = batch + 1 - self.last_step
        self.last_step = batch + 1
        self.step += new
        self.progress.done += new
        if not self.is_compiled:
            self.is_compiled = True
            self.progress.restart()
            self.begin, self.step = perf_counter(), 0
        elif self.progress.is_due():
            speed = self.history.num_targets * self.step / self.num_steps / max(1e-9, perf_counter() - self.begin)
            self.progress.write(self._describe(speed))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Says what the epoch came to; `EpochEnd` has added it to the history."""
        self.progress.write(self._describe(self.history.epochs[-1]["targets_per_second"], "done  "))

    def _describe(self, targets_per_second: float, state: str = "") -> str:
        metric = self.history.epochs[-1].get("valid_recall@20") if self.history.epochs else None
        recall = "" if metric is None else f"recall@20 {metric:.3f}  "
        return f"{self.name} {self.epoch + 1}/{self.num_epochs}  {state}{recall}{targets_per_second:,.0f} targets/s"
