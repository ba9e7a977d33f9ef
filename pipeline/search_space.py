"""Reads a space of training parameters, and checks it against what the training accepts before anything starts."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.core.parameters import make_parameters
from components.suggest.spaces import SPACES, Dimension, Space, parse_space
from components.train.parameters import TrainParameters
from pipeline.names import suggest

# What would change the objective itself, or what the search sets.
EXCLUDED = {
    "refit": "a search refits the best trial alone",
    "warm_start": "a search starts each trial from random weights",
    "random_seed": "a lucky seed is no better training",
    "max_valid_targets": "trials would be measured on different targets",
}


def read_space(location: str, base: Mapping[str, Any]) -> Space:
    """Reads a space.

    Args:
        location: the name of one of SPACES, or a YAML file.
        base: values of parameters that all trials have; those that are missing have their defaults.

    Raises:
        FileNotFoundError: there is neither such a name nor such a file.
        ValueError: the file is no space, or the training refuses a name, a type or a value in it.
    """
    if location in SPACES:
        return check_space(parse_space(location), base)
    path = Path(location)
    if not path.is_file():
        advice = suggest(location, SPACES)
        raise FileNotFoundError(
            f"Expected --space to be {', '.join(SPACES)} or a YAML file. Received: {location}. {advice}".rstrip(". ")
        )
    try:
        return check_space(parse_space(path.read_text(encoding="utf-8")), base)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{location}: {error}") from error


def check_space(space: Space, base: Mapping[str, Any]) -> Space:
    """Checks that the training accepts the values of a space, each with some combination of the others.

    Args:
        space: the space.
        base: as for `read_space`.

    Returns:
        The space, its numbers with the types of the parameters.

    Raises:
        ValueError: a parameter is unknown or cannot be searched for, or a value has the wrong type or is out of bounds.
    """
    defaults = TrainParameters().to_dict()
    typed: Space = {}
    for name, dimension in space.items():
        if name not in defaults:
            advice = suggest(name, defaults.keys() - EXCLUDED.keys())
            raise ValueError(f"Expected a parameter of the step train. Received: {name!r}. {advice}".rstrip())
        if name in EXCLUDED:
            raise ValueError(f"Expected a parameter to search for. Received: {name}, but {EXCLUDED[name]}")
        typed[name] = _convert(name, dimension, type(defaults[name]))
    values = {**defaults, **{name: value for name, value in base.items() if name in defaults}}
    for name, dimension in typed.items():
        for value in dimension.list_extremes():
            _check_value(name, value, typed, values)
    return typed


def _convert(name: str, dimension: Dimension, kind: type) -> Dimension:
    """Returns the dimension with values of the parameter's type."""
    if dimension.choices:
        wrong = [each for each in dimension.choices if not _fits(each, kind)]
        if wrong:
            raise ValueError(f"Expected choices of {name} to be of the type {kind.__name__}. Received: {wrong[0]!r}")
        return replace(dimension, choices=tuple(kind(each) for each in dimension.choices))
    if kind not in (int, float):
        raise ValueError(
            f"Expected {name} to have choices, since it is of the type {kind.__name__}. Received: low, high"
        )
    numbers = {"low": dimension.low, "high": dimension.high, "step": dimension.step}
    for key, value in numbers.items():
        if value is not None and not _fits(value, kind):
            raise ValueError(f"Expected {key} of {name} to be of the type {kind.__name__}. Received: {value!r}")
    step = None if dimension.step is None else kind(dimension.step)
    return replace(dimension, low=kind(dimension.low), high=kind(dimension.high), step=step)


def _fits(value: Any, kind: type) -> bool:
    return type(value) is kind or (kind is float and type(value) is int)


def _check_value(name: str, value: Any, space: Space, values: Mapping[str, Any]) -> None:
    """Checks that some combination with choices of the other parameters has the value.

    Raises:
        ValueError: the training refuses all; the error is that of the first.
    """
    others = {other: each.choices for other, each in space.items() if each.choices and other != name}
    first_error = None
    for combination in itertools.product(*others.values()):
        chosen = dict(zip(others, combination, strict=True))
        try:
            make_parameters(TrainParameters, {**values, **chosen, name: value})
        except ValueError as error:
            first_error = first_error or error
        else:
            return
    raise ValueError(f"The space has {name}={value!r}, which the training refuses. {first_error}") from first_error
