"""The train step as a command, for services that start workers: a Kubeflow TrainJob or a Vertex AI CustomJob.

python -m components.train --events DIR --vocabulary FILE --model DIR --tensorboard DIR [--embedding-dim 256 ...]
"""

import argparse
import sys
from pathlib import Path

from components.train.options import add_parameters, read_parameters
from components.train.step import train_model


def main() -> None:
    """Trains with the given parameters, in one process or with the workers listed in TF_CONFIG."""
    parser = argparse.ArgumentParser(prog="python -m components.train", description=main.__doc__)
    for name, text in (
        ("events", "The events artifact, to read."),
        ("vocabulary", "The vocabulary artifact, to read."),
        ("model", "Where the chief writes the SavedModel."),
        ("tensorboard", "Where the chief writes TensorBoard logs."),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    parser.add_argument("--checkpoint-root", type=Path, help="Checkpoint folder to resume from, shared by all workers.")
    add_parameters(parser)
    arguments = parser.parse_args()
    training = train_model(
        arguments.events,
        arguments.vocabulary,
        arguments.model,
        arguments.tensorboard,
        read_parameters(arguments),
        checkpoint_root=arguments.checkpoint_root,
    )
    sys.stdout.writelines(f"{name} {value:,.6g}\n" for name, value in training.figures.items())


if __name__ == "__main__":
    main()
