"""Parses and checks the values of pipeline parameters."""

from collections.abc import Callable, Mapping
from typing import Any


def parse_settings(settings: tuple[str, ...], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Parses NAME=VALUE into typed pipeline arguments.

    Args:
        settings: values of `--set`.
        inputs: the pipeline's inputs by name, from its component spec.

    Raises:
        ValueError: a parameter is unknown, or its value has the wrong type.
    """
    parsers: dict[str, Callable[[str], Any]] = {
        "String": str,
        "Integer": int,
        "Float": float,
        "Boolean": _parse_bool,
    }
    parsed: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in inputs:
            raise ValueError(f"Expected NAME=VALUE with one of the names {', '.join(inputs)}. Received: {setting}")
        kind = inputs[name].type
        try:
            parsed[name] = parsers[kind](value) if kind in parsers else _parse_list(value, inputs[name].default)
        except ValueError as error:
            raise ValueError(f"Expected {name} to be of the type {kind}. Received: {value!r}") from error
    return parsed


def _parse_bool(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError as error:
        raise ValueError(text) from error


def _parse_list(text: str, default: list[Any]) -> list[Any]:
    """Parses comma-separated values, with the type of the default's elements; strings if the default is empty."""
    kind = type(default[0]) if default else str
    return [kind(part) for part in text.split(",")]


def check_parameters(parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Checks parameters before they are sent to a cluster.

    Args:
        parameters: values by name.
        inputs: the pipeline's inputs by name, from its component spec.

    Raises:
        ValueError: a parameter is unknown, a parameter without a default is missing, or a value has the wrong type.
    """
    missing = [name for name, spec in inputs.items() if not spec.optional and name not in parameters]
    if missing:
        raise ValueError(f"Expected values for {', '.join(missing)}. Received: {', '.join(parameters) or 'none'}")
    types: dict[str, tuple[type, ...]] = {
        "String": (str,),
        "Integer": (int,),
        "Float": (int, float),
        "Boolean": (bool,),
    }
    for name, value in parameters.items():
        if name not in inputs:
            raise ValueError(f"Expected a parameter, one of {', '.join(inputs)}. Received: {name!r}")
        kind = inputs[name].type
        if not isinstance(value, types.get(kind, (list,))) or (isinstance(value, bool) and kind != "Boolean"):
            raise ValueError(f"Expected {name} to be of the type {kind}. Received: {value!r}")
