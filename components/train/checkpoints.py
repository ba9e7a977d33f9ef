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
    """The last and the best epoch's weights on disk, and the history that names them."""

    def __init__(self, model: TwoTower, checkpoint_dir: Path) -> None:
        # Without the model's metrics, whose values lie apart on each worker: to save those all would have to write.
        parts = {"query_tower": model.query_tower, "candidate_tower": model.candidate_tower}
        if model.optimizer is not None:
            parts["optimizer"] = model.optimizer
        self.checkpoint = tf.train.Checkpoint(**parts)
        self.dir = checkpoint_dir
        self.dir.mkdir(parents=True, exist_ok=True)

    def restore(self) -> History:
        """Goes back to the end of the last epoch that was finished; at the beginning there is none."""
        path = self.dir / "history.json"
        if not path.is_file():
            return History()
        history = History(**json.loads(path.read_text()))
        self.restore_epoch(len(history.epochs))
        return history

    def restore_epoch(self, epoch: int) -> None:
        """Goes back to the end of an epoch."""
        with literal_path(self.dir) as folder:
            self.checkpoint.read(f"{folder}/epoch-{epoch}").expect_partial()

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
