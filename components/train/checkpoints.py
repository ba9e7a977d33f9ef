"""Checkpoints and history on disk, from which a training resumes."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import tensorflow as tf

from components.core.literal_paths import literal_path
from components.train.model import TwoTower


@dataclass
class History:
    """History of a training, one entry per epoch.

    Attributes:
        epochs: validation metrics, `mean_loss`, `seconds` and `targets_per_second` per epoch.
        num_targets: number of targets per epoch.
        best_epoch: number, from 1, of the epoch whose weights the model has.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    num_targets: int = 0
    best_epoch: int = 0

    @property
    def seconds(self) -> float:
        """Training time in seconds, without validation."""
        return sum(epoch["seconds"] for epoch in self.epochs)


class Checkpoints:
    """Weights and optimizer state of the last and the best epoch on disk, and the training history.

    Args:
        model: compiled model whose variables and optimizer are built.
        checkpoint_dir: folder of this training; created if missing.

    Raises:
        ValueError: the model has weights that `TwoTower.parts` leaves out, so a checkpoint would lose them.
    """

    def __init__(self, model: TwoTower, checkpoint_dir: Path) -> None:
        # Excludes the model's metrics: they differ between workers, so every worker would have to write its own.
        kept = {variable.ref() for part in model.parts.values() for variable in part.variables}
        lost = [variable.name for variable in model.trainable_variables if variable.ref() not in kept]
        if lost:
            raise ValueError(f"Expected TwoTower.parts to hold all weights. Missing: {', '.join(lost)}")
        self.checkpoint = tf.train.Checkpoint(**model.parts, optimizer=model.optimizer)
        self.dir = checkpoint_dir
        self.dir.mkdir(parents=True, exist_ok=True)

    def restore(self) -> History:
        """Restores the last finished epoch; returns an empty history if there is none.

        Raises:
            ValueError: see `restore_epoch`.
        """
        path = self.dir / "history.json"
        if not path.is_file():
            return History()
        history = History(**json.loads(path.read_text()))
        self.restore_epoch(len(history.epochs))
        return history

    def restore_epoch(self, epoch: int) -> None:
        """Restores the state at the end of an epoch.

        Raises:
            ValueError: the checkpoint is missing or damaged, lacks a variable of the model, or has one with another
                name or shape.
        """
        with literal_path(self.dir) as folder:
            try:
                self.checkpoint.read(f"{folder}/epoch-{epoch}").assert_consumed()
            except (AssertionError, ValueError, IndexError, tf.errors.OpError) as error:
                raise ValueError(
                    f"The checkpoint of epoch {epoch} in {self.dir} does not fit this model, so the training cannot "
                    f"be resumed. Delete that folder to train from the start. {error}"
                ) from error

    def save(self, history: History) -> None:
        """Writes the newest checkpoint, then the history, so that the history never names an incomplete file."""
        newest = len(history.epochs)
        with literal_path(self.dir) as folder:
            self.checkpoint.write(f"{folder}/epoch-{newest}")
        draft = self.dir / "history.json.draft"
        draft.write_text(json.dumps(vars(history)))
        draft.rename(self.dir / "history.json")
        for path in self.dir.glob("epoch-*"):
            if path.name.partition(".")[0] not in (f"epoch-{newest}", f"epoch-{history.best_epoch}"):
                path.unlink()
