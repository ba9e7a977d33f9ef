"""A trial of a search: a training with the selection on the validation sessions, which saves no model.

python -m components.train.trial --events DIR --vocabulary FILE [--outcome FILE] [--embedding-dim 256 ...]

It prints a line `objective=0.7312`, which Katib reads from the log.
"""

import argparse
import json
import math
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from components.core.events import read_split
from components.core.machine import configure_tensorflow
from components.core.progress import write_result
from components.core.sequences import Sessions
from components.core.vocabulary import Vocabulary
from components.train.attempt import end_with_stdin
from components.train.distribution import is_chief, make_strategy
from components.train.halves import NUM_HALVES
from components.train.options import add_parameters, read_parameters
from components.train.parameters import TrainParameters
from components.train.progress import TrainingProgress
from components.train.step import fingerprint, peak_memory_bytes
from components.train.trainer import SELECTION_METRICS, train


def try_parameters(
    events_dir: Path, vocabulary_path: Path, parameters: TrainParameters, *, checkpoint_root: Path | None = None
) -> dict[str, Any]:
    """Trains on train, and measures the best epoch on valid. The test split is not read.

    Args:
        events_dir: the events artifact.
        vocabulary_path: the vocabulary artifact, of the items of train.
        parameters: the training parameters; `refit` and `warm_start` have no effect.
        checkpoint_root: folder for checkpoints, as for `train_model`; they are deleted at the end. None for none.

    Returns:
        `value`, the objective: the sum of recall@20 and MRR@20 on valid in the best epoch, by which a training selects
        its epoch; both metrics by name; `best_epoch`, `epochs`, `seconds` without validation, `targets_per_second` and
        `peak_memory_bytes`.

    Raises:
        ValueError: the loss of the best epoch is not finite, or as for `train_model`.
    """
    configure_tensorflow(num_streams=NUM_HALVES)
    strategy = make_strategy()
    vocabulary = Vocabulary.read(vocabulary_path)
    valid = Sessions.encode(read_split(events_dir, "valid"), vocabulary)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        if checkpoint_root is not None:
            root = checkpoint_root / fingerprint(events_dir, vocabulary_path, parameters)
        _, history = train(
            parameters,
            sessions=Sessions.encode(read_split(events_dir, "train"), vocabulary),
            valid=valid.sample(parameters.max_valid_targets, seed=parameters.random_seed),
            num_items=vocabulary.num_items,
            num_epochs=parameters.max_epochs,
            checkpoint_dir=root / "trial",
            strategy=strategy,
            progress=TrainingProgress(parameters.max_epochs),
        )
        if is_chief(strategy) and checkpoint_root is not None:
            shutil.rmtree(root, ignore_errors=True)
    best = history.epochs[history.best_epoch - 1]
    metrics = {name: best[f"valid_{name}"] for name in SELECTION_METRICS}
    value = sum(metrics.values())
    # Scores that are no numbers are below every score: such a model would seem to rank every target first.
    if not math.isfinite(best["mean_loss"] + value):
        raise ValueError(
            f"Expected a finite loss. Received: {best['mean_loss']} in epoch {history.best_epoch}. "
            "A lower learning_rate or a higher temperature may help"
        )
    return {
        "value": value,
        **metrics,
        "best_epoch": history.best_epoch,
        "epochs": len(history.epochs),
        "seconds": history.seconds,
        "targets_per_second": history.num_targets * len(history.epochs) / history.seconds,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def main() -> None:
    """Tries one set of training parameters on the validation sessions."""
    parser = argparse.ArgumentParser(prog="python -m components.train.trial", description=main.__doc__)
    parser.add_argument("--events", type=Path, required=True, help="The events artifact; test is not read.")
    parser.add_argument("--vocabulary", type=Path, required=True, help="The vocabulary artifact.")
    parser.add_argument("--outcome", type=Path, help="JSON file to write the outcome to.")
    parser.add_argument("--checkpoint-root", type=Path, help="Checkpoint folder to resume from.")
    parser.add_argument(
        "--with-parent", action="store_true", help="End when stdin ends, with the process that started this one."
    )
    add_parameters(parser)
    arguments = parser.parse_args()
    if arguments.with_parent:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    outcome = try_parameters(
        arguments.events,
        arguments.vocabulary,
        read_parameters(arguments),
        checkpoint_root=arguments.checkpoint_root,
    )
    if arguments.outcome:
        arguments.outcome.write_text(json.dumps(outcome))
    metrics = "  ".join(f"{name} {outcome[name]:.4f}" for name in SELECTION_METRICS)
    write_result(f"objective {outcome['value']:.4f}  {metrics}  epoch {outcome['best_epoch']} of {outcome['epochs']}")
    sys.stdout.write(f"objective={outcome['value']:.8f}\n")


if __name__ == "__main__":
    main()
