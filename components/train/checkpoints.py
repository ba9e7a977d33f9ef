"""What a training keeps on disk, so that it can go on after a kill."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import tensorflow as tf

from components.core.literal_paths import literal_path
from components.train.model import TwoTower


@dataclass
class History:
    """What a training did, an entry an epoch.

    Attributes:
        epochs: metrics over the validation sessions, `mean_loss`, `seconds` and `targets_per_second` of each.
        num_targets: targets an epoch.
        best_epoch: number from 1 of the epoch whose weights the model has.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    num_targets: int = 0
    best_epoch: int = 0

    @property
    def seconds(self) -> float:
        """Seconds in epochs, validation excluded."""
        return sum(epoch["seconds"] for epoch in self.epochs)


class Checkpoints:
    """The last and the best epoch's weights and optimizer state on disk, and the history that names them.

    Args:
        model: compiled, with all variables of its towers and its optimizer.
        checkpoint_dir: the folder of this training; made if there is none.
    """

    def __init__(self, model: TwoTower, checkpoint_dir: Path) -> None:
        # Without the model's metrics, whose values lie apart on each worker: to save those all would have to write.
        self.checkpoint = tf.train.Checkpoint(
            query_tower=model.query_tower, candidate_tower=model.candidate_tower, optimizer=model.optimizer
        )
        self.dir = checkpoint_dir
        self.dir.mkdir(parents=True, exist_ok=True)

    def restore(self) -> History:
        """Goes back to the end of the last epoch that was finished; at the beginning there is none.

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
        """Goes back to the end of an epoch.

        Raises:
            ValueError: the checkpoint is missing or damaged, lacks a variable of the model, or has one of another
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
        """Writes the newest epoch; the history follows last, so that it never names a file that is not whole."""
        newest = len(history.epochs)
        with literal_path(self.dir) as folder:
            self.checkpoint.write(f"{folder}/epoch-{newest}")
        draft = self.dir / "history.json.draft"
        draft.write_text(json.dumps(vars(history)))
        draft.rename(self.dir / "history.json")
        for path in self.dir.glob("epoch-*"):
            if path.name.partition(".")[0] not in (f"epoch-{newest}", f"epoch-{history.best_epoch}"):
                path.unlink()
