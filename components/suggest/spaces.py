"""Spaces of training parameters, and the ones that are shipped."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.core.strict_yaml import load_yaml

KEYS = ("low", "high", "log", "step", "choices")
FORMS = "{low, high}, {low, high, log: true}, {low, high, step} or {choices: [...]}"

SPACES: dict[str, dict[str, dict[str, Any]]] = {
    # Around the preset `default`: what changed the metrics most in docs/experiments.md.
    "default": {
        "query_tower": {"choices": ["gru_attention", "gru", "attention"]},
        "embedding_dim": {"low": 64, "high": 192, "step": 32},
        "num_negatives": {"low": 512, "high": 2048, "step": 512},
        "temperature": {"low": 0.04, "high": 0.16, "log": True},
        "trend_weight": {"low": 0.0, "high": 0.5, "step": 0.125},
        "dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
        "input_dropout": {"low": 0.1, "high": 0.7, "step": 0.1},
        "successor_half_count": {"low": 250.0, "high": 4000.0, "log": True},
        "learning_rate": {"low": 0.0005, "high": 0.008, "log": True},
        "table_learning_rate": {"low": 0.004, "high": 0.06, "log": True},
    },
}


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """The values that a search tries for a parameter.

    Attributes:
        low: lowest number; with `high` an integer, only integers are tried.
        high: highest number.
        log: whether to try the logarithm evenly, for numbers above 0.
        step: distance between two numbers that are tried; None for any number between.
        choices: the values, for a parameter without order; empty for numbers from `low` to `high`.
    """

    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[bool | int | float | str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns what `make_dimension` takes."""
        if self.choices:
            return {"choices": list(self.choices)}
        extra = {"log": True} if self.log else {} if self.step is None else {"step": self.step}
        return {"low": self.low, "high": self.high, **extra}

    def list_extremes(self) -> list[Any]:
        """Returns all choices, or the lowest and the highest number."""
        return list(self.choices) or [self.low, self.high]


Space = dict[str, Dimension]


def parse_space(text: str) -> Space:
    """Parses a space.

    Args:
        text: the name of one of SPACES, or YAML that maps parameters to one of FORMS.

    Raises:
        ValueError: the text is no such mapping; the message says where.
    """
    if text in SPACES:
        return {name: make_dimension(name, values) for name, values in SPACES[text].items()}
    document = load_yaml(text, "the space")
    if not isinstance(document, Mapping) or not document:
        raise ValueError(
            f"Expected the space to be one of {', '.join(SPACES)}, or to map parameters to {FORMS}. "
            f"Received: {document!r}"
        )
    return {str(name): make_dimension(str(name), values) for name, values in document.items()}


def make_dimension(name: str, values: object) -> Dimension:
    """Makes the dimension of a parameter.

    Args:
        name: the parameter, for messages.
        values: a mapping of one of FORMS.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(values, Mapping) or not values:
        raise ValueError(f"Expected {name} in the space to be {FORMS}. Received: {values!r}")
    unknown = [str(key) for key in values if key not in KEYS]
    if unknown:
        raise ValueError(
            f"Expected {name} in the space to have the keys {', '.join(KEYS)}. Received: {', '.join(unknown)}"
        )
    if "choices" in values:
        return _make_choices(name, values)
    if not {"low", "high"} <= values.keys():
        raise ValueError(f"Expected {name} in the space to be {FORMS}. Received: {dict(values)}")
    low, high = (_read_number(name, key, values[key]) for key in ("low", "high"))
    if type(low) is not type(high):
        low, high = float(low), float(high)
    if low >= high:
        raise ValueError(f"Expected low of {name} in the space to be below high, {high}. Received: {low}")
    log = values.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"Expected log of {name} in the space to be true or false. Received: {log!r}")
    if log and low <= 0:
        raise ValueError(f"Expected low of {name} in the space to be above 0 with log. Received: {low}")
    if "step" not in values:
        return Dimension(low=low, high=high, log=log)
    if log:
        raise ValueError(f"Expected {name} in the space to have log or step. Received: both")
    step = _read_number(name, "step", values["step"])
    if isinstance(low, int) and not isinstance(step, int):
        low, high = float(low), float(high)
    step = type(low)(step)
    if not 0 < step <= high - low:
        raise ValueError(f"Expected step of {name} in the space to be above 0 and to fit. Received: {step}")
    num_steps = (high - low) / step
    if abs(num_steps - round(num_steps)) > 1e-6:
        raise ValueError(
            f"Expected high of {name} in the space to be low plus a multiple of step, {low} + n * {step}. "
            f"Received: {high}"
        )
    return Dimension(low=low, high=high, step=step)


def _make_choices(name: str, values: Mapping[str, Any]) -> Dimension:
    choices = values["choices"]
    if len(values) > 1:
        raise ValueError(f"Expected {name} in the space to have choices alone, or low and high. Received: both")
    if (
        not isinstance(choices, list)
        or not choices
        or not all(isinstance(each, bool | int | float | str) for each in choices)
    ):
        raise ValueError(f"Expected choices of {name} in the space to be a list of values. Received: {choices!r}")
    if len({(type(each), each) for each in choices}) < len(choices):
        raise ValueError(f"Expected choices of {name} in the space to differ. Received: {choices!r}")
    return Dimension(choices=tuple(choices))


def _read_number(name: str, key: str, value: object) -> int | float:
    """Reads a number; YAML reads 1e-3 as a text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"Expected {key} of {name} in the space to be a number. Received: {value!r}")
    return value
