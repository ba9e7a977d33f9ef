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

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.events import SPLITS, read_split, split_path
from components.core.machine import configure_tensorflow
from components.core.presentation import count_of
from components.core.run_artifacts import TRAINING_FILE
from components.core.saved_model import read_training
from components.core.sequences import Sessions
from components.core.sources import hash_sources
from components.core.vocabulary import Vocabulary
from components.train.checkpoints import History
from components.train.distribution import describe_runtime, is_chief, make_strategy
from components.train.halves import NUM_HALVES
from components.train.parameters import TrainParameters
from components.train.progress import TrainingProgress
from components.train.projector import write_projector
from components.train.string_model import save_model
from components.train.trainer import train
from components.train.warm_start import Published


@dataclass(frozen=True, kw_only=True)
class Training:
    """Result of a training.

    Attributes:
        selection: history of training on train with selection on valid; has no epochs if selection was skipped.
        refit: history of the refit on train and valid, or on all splits; None without a refit.
        peak_memory_bytes: peak resident memory of the process.
        checkpoint_dir: name of the folder in checkpoint_root, to delete it after the run; empty without one.
    """

    selection: History
    refit: History | None
    peak_memory_bytes: int
    checkpoint_dir: str

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
        parts = [count_of(int(figures["epochs"]), "epoch")]
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
    evaluated_dir: Path | None = None,
    checkpoint_root: Path | None = None,
    serving_uri: str = "",
) -> Training:
    """Selects the number of epochs on the validation sessions, refits if `refit` is set, and saves both towers.

    With `refit` and `max_epochs=1` the selection is skipped: the model is trained once, on train and valid. It is also
    skipped for a warm start from a model that was trained on valid, which then says nothing about new sessions: the
    model is trained for `max_epochs` epochs and keeps the pointer's weights of the published one. With `evaluated_dir`
    it is trained once on all splits, as the model there was, which cannot be evaluated any more.

    Args:
        events_dir: the events artifact; its test split is only read with `evaluated_dir`, and the times of its events
            for a warm start.
        vocabulary_path: the vocabulary artifact.
        model_dir: where to write the SavedModel.
        tensorboard_dir: where to write TensorBoard logs.
        parameters: the training parameters.
        evaluated_dir: the SavedModel whose number of epochs and calibration of the pointer to use; None to select them.
        checkpoint_root: folder for checkpoints, which must survive a restart of the step. A restarted training
            resumes from the last epoch's checkpoint if the parameters, the artifacts, the versions of the sources and
            of TensorFlow, and the presence of a GPU are unchanged; otherwise it starts from scratch. None: do not
            resume.
        serving_uri: serving location whose newest version a warm start begins with.

    Returns:
        The training histories and the peak memory.

    Raises:
        ValueError: the training or validation sessions contain no target, a checkpoint is damaged, the workers do not
            share the checkpoint folder, the evaluated model was trained with other parameters, or the published model
            has another shape or was trained on test sessions.
        ServingError: the serving location cannot be read, or its newest version is damaged.
        RuntimeError: the saved model maps an id to a wrong index.
    """
    configure_tensorflow(num_streams=NUM_HALVES)
    strategy = make_strategy()
    evaluated = _read_evaluated(evaluated_dir, parameters) if evaluated_dir else None
    vocabulary = Vocabulary.read(vocabulary_path)
    sessions = Sessions.encode(read_split(events_dir, "train"), vocabulary)
    valid = Sessions.encode(read_split(events_dir, "valid"), vocabulary)
    splits = SPLITS if evaluated else SPLITS[: 2 if parameters.refit else 1]
    progress = TrainingProgress(parameters.max_epochs * (2 if parameters.refit and parameters.max_epochs > 1 else 1))
    with tempfile.TemporaryDirectory() as scratch:
        published = Published.fetch(serving_uri, Path(scratch, "published")) if parameters.warm_start else None
        root = Path(scratch)
        if checkpoint_root is not None:
            root = checkpoint_root / fingerprint(events_dir, vocabulary_path, parameters, evaluated, published)
        selection, refit, pointer = History(best_epoch=1), None, None
        if published and not evaluated:
            published.check_unseen(_find_span(events_dir, ["test"])[0])
        if evaluated:
            selection = History(best_epoch=evaluated["training"]["best_epoch"])
            pointer = None if evaluated["pointer"] is None else np.array(evaluated["pointer"], np.float32)
        elif published and published.trained_until >= _find_span(events_dir, ["valid"])[0]:
            selection, pointer = History(best_epoch=parameters.max_epochs), published.pointer
        elif parameters.max_epochs > 1 or not parameters.refit:
            model, selection = train(
                parameters,
                sessions=sessions,
                valid=valid.sample(parameters.max_valid_targets, seed=parameters.random_seed),
                num_items=vocabulary.num_items,
                num_epochs=parameters.max_epochs,
                checkpoint_dir=root / "selection",
                tensorboard_dir=root / "tensorboard" / "selection",
                start=published.read(vocabulary, sessions, parameters) if published else None,
                strategy=strategy,
                progress=progress,
            )
            if model.pointer is not None:
                pointer = model.pointer.served.numpy()
        if parameters.refit or not selection.epochs:
            if evaluated or parameters.refit:
                sessions = Sessions.concatenate(sessions, valid)
            if evaluated:
                test = Sessions.encode(read_split(events_dir, "test"), vocabulary)
                sessions = Sessions.concatenate(sessions, test)
            model, refit = train(
                parameters,
                sessions=sessions,
                valid=None,
                num_items=vocabulary.num_items,
                num_epochs=selection.best_epoch,
                checkpoint_dir=root / "refit",
                tensorboard_dir=root / "tensorboard" / "refit",
                pointer=pointer,
                start=published.read(vocabulary, sessions, parameters) if published else None,
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
    training = Training(
        selection=selection,
        refit=refit,
        peak_memory_bytes=peak_memory_bytes(),
        checkpoint_dir=root.name if checkpoint_root else "",
    )
    if is_chief(strategy):
        newest = _find_span(events_dir, splits)[1]
        data = {
            "trained_until": max(newest, published.trained_until) if published else newest,
            "data_sha256": _hash([split_path(events_dir, split) for split in splits]).hexdigest(),
            "started_from": published.manifest.version if published else None,
        }
        _write_training(model_dir, parameters, training, data=data, pointer=pointer)
    return training


def _read_evaluated(model_dir: Path, parameters: TrainParameters) -> dict[str, Any]:
    """Reads the training of a model, after a check that it had the same parameters."""
    evaluated = read_training(model_dir)
    expected, found = evaluated["parameters"], parameters.to_dict()
    names = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    if names:
        name = min(names)
        raise ValueError(
            f"Expected the parameters of the evaluated model, with {name}={expected.get(name)!r}. "
            f"Received: {found.get(name)!r}"
        )
    return evaluated


def _find_span(events_dir: Path, splits: Iterable[str]) -> tuple[int, int]:
    """Returns the times of the oldest and the newest event of the splits, in milliseconds since 1970."""
    times = pa.concat_tables(pq.read_table(split_path(events_dir, split), columns=["time"]) for split in splits)
    span = pc.min_max(times["time"])
    return span["min"].as_py(), span["max"].as_py()


def _write_training(
    model_dir: Path,
    parameters: TrainParameters,
    training: Training,
    *,
    data: dict[str, Any],
    pointer: npt.NDArray[np.float32] | None,
) -> None:
    document: dict[str, Any] = {
        "parameters": parameters.to_dict(),
        "training": training.figures,
        "selection": training.selection.epochs,
        "refit": training.refit.epochs if training.refit else [],
        # Time of the newest event that the model, or the one that it started from, was trained on, in ms.
        "trained_until": data["trained_until"],
        "data_sha256": data["data_sha256"],  # of the files of the splits that it was trained on, one after the other
        "started_from": data["started_from"],  # number of the published version; None for random weights
        "pointer": None if pointer is None else pointer.tolist(),  # weights fitted to valid; None if there was no fit
        "checkpoint_dir": training.checkpoint_dir,
    }
    path = model_dir / TRAINING_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2))


def fingerprint(
    events_dir: Path,
    vocabulary_path: Path,
    parameters: TrainParameters,
    evaluated: dict[str, Any] | None = None,
    published: Published | None = None,
) -> str:
    """Hashes everything that determines a training, so that it never resumes from another training's checkpoints.

    Args:
        events_dir: the events artifact; its test split is only read with `evaluated`.
        vocabulary_path: the vocabulary artifact.
        parameters: the training parameters.
        evaluated: the training metadata of the evaluated model; None to select the epoch.
        published: the model that the training starts from; None for random weights.
    """
    determinants = {"sources": hash_sources(), "runtime": describe_runtime(), "parameters": parameters.to_dict()}
    if evaluated:
        determinants["evaluated"] = [evaluated["training"]["best_epoch"], evaluated["pointer"]]
    if published:
        determinants["started_from"] = published.manifest.document["publication_id"]
    paths = [split_path(events_dir, split) for split in (SPLITS if evaluated else SPLITS[:2])]
    return _hash([*paths, vocabulary_path], json.dumps(determinants, sort_keys=True).encode()).hexdigest()[:16]


def _hash(paths: Iterable[Path], before: bytes = b"") -> "hashlib._Hash":
    """Hashes the contents of files, one after the other and after other bytes, with SHA-256."""
    digest = hashlib.sha256(before)
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest


def peak_memory_bytes() -> int:
    """Returns the peak resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
