"""Events and vocabulary -> SavedModel of both towers."""

import hashlib
import json
import resource
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.events import SPLITS, read_split, split_path
from components.core.machine import limit_tensorflow_threads
from components.core.quiet_start import list_devices
from components.core.saved_model import TRAINING_FILE
from components.core.sequences import Sessions
from components.core.sources import hash_sources
from components.core.vocabulary import Vocabulary
from components.train.checkpoints import History
from components.train.distribution import describe_runtime, is_chief, make_strategy
from components.train.parameters import TrainParameters
from components.train.progress import TrainingProgress
from components.train.projector import write_projector
from components.train.string_model import save_model
from components.train.trainer import train


@dataclass(frozen=True, kw_only=True)
class Training:
    """Result of a training.

    Attributes:
        selection: history of training on train with selection on valid; has no epochs if selection was skipped.
        refit: history of the refit on train and valid; None without a refit.
        peak_memory_bytes: peak resident memory of the process.
    """

    selection: History
    refit: History | None
    peak_memory_bytes: int

    @property
    def figures(self) -> dict[str, float]:
        """Seconds (without validation), number of epochs, best epoch, targets per second, peak memory in bytes."""
        histories = [self.selection, *([self.refit] if self.refit else [])]
        num_targets = sum(history.num_targets * len(history.epochs) for history in histories)
        seconds = sum(history.seconds for history in histories)
        return {
            "seconds": seconds,
            "epochs": sum(len(history.epochs) for history in histories),
            "best_epoch": self.selection.best_epoch,
            "targets_per_second": num_targets / seconds,
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    def describe(self) -> str:
        """Number of epochs, validation metrics of the best one, throughput and memory, in one line."""
        figures = self.figures
        parts = [f"{figures['epochs']:.0f} epochs"]
        if self.selection.epochs:
            best = self.selection.epochs[self.selection.best_epoch - 1]
            parts.append(f"recall@20 {best['valid_recall@20']:.3f} on valid")
        parts.append(f"{figures['targets_per_second']:,.0f} targets/s")
        return "  ".join([*parts, f"{figures['peak_memory_bytes'] / 2**30:.1f} GiB"])


def train_model(
    events_dir: Path,
    vocabulary_path: Path,
    model_dir: Path,
    tensorboard_dir: Path,
    parameters: TrainParameters,
    *,
    checkpoint_root: Path | None = None,
) -> Training:
    """Selects the number of epochs on the validation sessions, refits if `refit` is set, and saves both towers.

    With `refit` and `max_epochs=1` the selection is skipped: the model is trained once, on train and valid.

    Args:
        events_dir: the events artifact; its test split is not read.
        vocabulary_path: the vocabulary artifact.
        model_dir: where to write the SavedModel.
        tensorboard_dir: where to write TensorBoard logs.
        parameters: the training parameters.
        checkpoint_root: folder for checkpoints, which must survive a restart of the step. A restarted training
            resumes from the last epoch's checkpoint if the parameters, the artifacts, the versions of the sources and
            of TensorFlow, and the presence of a GPU are unchanged; otherwise it starts from scratch. None: do not
            resume.

    Returns:
        The training histories and the peak memory.

    Raises:
        ValueError: the training or validation sessions contain no target,
            a checkpoint is damaged, or the workers do not share the checkpoint folder.
        RuntimeError: the saved model maps an id to a wrong index.
    """
    limit_tensorflow_threads()
    list_devices()
    strategy = make_strategy()
    vocabulary = Vocabulary.read(vocabulary_path)
    sessions = Sessions.encode(read_split(events_dir, "train"), vocabulary)
    valid = Sessions.encode(read_split(events_dir, "valid"), vocabulary)
    progress = TrainingProgress(parameters.max_epochs * (2 if parameters.refit and parameters.max_epochs > 1 else 1))
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        if checkpoint_root is not None:
            root = checkpoint_root / _fingerprint(events_dir, vocabulary_path, parameters)
        selection, refit, pointer = History(best_epoch=1), None, None
        if parameters.max_epochs > 1 or not parameters.refit:
            model, selection = train(
                parameters,
                sessions=sessions,
                valid=valid.sample(parameters.max_valid_targets, seed=parameters.random_seed),
                num_items=vocabulary.num_items,
                num_epochs=parameters.max_epochs,
                checkpoint_dir=root / "selection",
                tensorboard_dir=root / "tensorboard" / "selection",
                strategy=strategy,
                progress=progress,
            )
            if model.pointer is not None:
                pointer = model.pointer.served.numpy()
        if parameters.refit:
            sessions = Sessions.concatenate(sessions, valid)
            model, refit = train(
                parameters,
                sessions=sessions,
                valid=None,
                num_items=vocabulary.num_items,
                num_epochs=selection.best_epoch,
                checkpoint_dir=root / "refit",
                tensorboard_dir=root / "tensorboard" / "refit",
                pointer=pointer,
                strategy=strategy,
                progress=TrainingProgress.of_refit(before=len(selection.epochs), num_epochs=selection.best_epoch),
            )
        if is_chief(strategy):
            save_model(
                model,
                item_ids=vocabulary.item_ids,
                session_ids=sessions.session_ids if parameters.reads_session_ids else None,
                model_dir=model_dir,
            )
            # Logs are written next to the checkpoints first, so that a resumed training keeps its earlier logs.
            shutil.copytree(root / "tensorboard", tensorboard_dir, dirs_exist_ok=True)
            write_projector(
                vocabulary.item_ids, vocabulary.counts, model.embed_candidates().numpy(), folder=tensorboard_dir
            )
    training = Training(selection=selection, refit=refit, peak_memory_bytes=peak_memory_bytes())
    if is_chief(strategy):
        _write_training(
            model_dir,
            parameters,
            training,
            checkpoint_dir=root.name if checkpoint_root else "",
            trained_until=_find_newest_time(events_dir, SPLITS[: 2 if parameters.refit else 1]),
        )
    return training


def _find_newest_time(events_dir: Path, splits: Iterable[str]) -> int:
    """Returns the time of the newest event of the splits, in milliseconds since 1970."""
    times = pa.concat_tables(pq.read_table(split_path(events_dir, split), columns=["time"]) for split in splits)
    newest: int = pc.max(times["time"]).as_py()
    return newest


def _write_training(
    model_dir: Path, parameters: TrainParameters, training: Training, *, checkpoint_dir: str, trained_until: int
) -> None:
    document: dict[str, Any] = {
        "parameters": parameters.to_dict(),
        "training": training.figures,
        "selection": training.selection.epochs,
        "refit": training.refit.epochs if training.refit else [],
        "trained_until": trained_until,  # time of the newest event that the model was trained on, in ms since 1970
        "checkpoint_dir": checkpoint_dir,  # name of the folder in checkpoint_root, to delete it after the run
    }
    path = model_dir / TRAINING_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2))


def _fingerprint(events_dir: Path, vocabulary_path: Path, parameters: TrainParameters) -> str:
    """Hashes everything that determines a training, so that it never resumes from another training's checkpoints."""
    determinants = {"sources": hash_sources(), "runtime": describe_runtime(), "parameters": parameters.to_dict()}
    digest = hashlib.sha256(json.dumps(determinants, sort_keys=True).encode())
    for path in [*(split_path(events_dir, split) for split in SPLITS[:2]), vocabulary_path]:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def peak_memory_bytes() -> int:
    """Returns the peak resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
