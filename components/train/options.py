"""The training parameters as command-line options."""

import argparse
from dataclasses import fields

from components.train.parameters import TrainParameters


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each training parameter: `--embedding-dim 256`, `--no-refit`."""
    group = parser.add_argument_group("parameters", "See components/train/component.py.")
    for field in fields(TrainParameters):
        option = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            group.add_argument(option, action=argparse.BooleanOptionalAction, default=field.default)
        else:
            group.add_argument(option, type=type(field.default), default=field.default, metavar=f"{field.default}")


def read_parameters(arguments: argparse.Namespace) -> TrainParameters:
    """Returns the training parameters of parsed options.

    Raises:
        ValueError: a value is out of bounds, or two values exclude each other.
    """
    return TrainParameters(**{field.name: getattr(arguments, field.name) for field in fields(TrainParameters)})


def make_options(parameters: TrainParameters) -> list[str]:
    """Returns the options that `read_parameters` reads as these parameters."""
    return [
        f"--{'' if value else 'no-'}{option}" if isinstance(value, bool) else f"--{option}={value}"
        for name, value in parameters.to_dict().items()
        for option in [name.replace("_", "-")]
    ]
