"""Parses and checks the values of pipeline parameters."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.names import explain_unknown

_ELEMENTS = {str: "texts", int: "integers", float: "numbers"}


def parse_settings(settings: tuple[str, ...], inputs: Mapping[str, Any], owners: Mapping[str, str]) -> dict[str, Any]:
    """Parses NAME=VALUE into typed pipeline arguments.

    Args:
        settings: values of `--set`.
        inputs: the pipeline's inputs by name, from its component spec.
        owners: as for `explain_unknown`.

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
        if not equals:
            raise ValueError(f"Expected NAME=VALUE, such as max_epochs=4. Received: {setting!r}")
        if name not in inputs:
            raise ValueError(explain_unknown(name, inputs, owners))
        kind = inputs[name].type
        try:
            parsed[name] = parsers[kind](value) if kind in parsers else _parse_list(value, inputs[name].default)
        except ValueError as error:
            if kind not in parsers:
                elements = _ELEMENTS[_list_type(inputs[name].default)]
                kind = f"list: {elements} with commas between them, or a JSON list of {elements}"
            raise ValueError(f"Expected {name} to be of the type {kind}. Received: {value!r}") from error
    return parsed


def _parse_bool(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError as error:
        raise ValueError(text) from error


def _parse_list(text: str, default: list[Any]) -> list[Any]:
    """Parses a JSON list, or values separated by commas, without spaces around them; an empty text is an empty list."""
    kind = _list_type(default)
    if not text.startswith("["):
        return [kind(part.strip()) for part in text.split(",")] if text else []
    values = json.loads(text)
    if not _is_list_of(values, kind):
        raise ValueError(text)
    return [kind(value) for value in values]


def _list_type(default: list[Any]) -> type:
    """Returns the type of a list parameter's elements: that of the default's, or text if the default is empty."""
    return type(default[0]) if default else str


def _is_list_of(values: Any, kind: type) -> bool:
    """Whether the values are a list of the type; integers are floats, booleans are no numbers."""
    kinds = (int, float) if kind is float else (kind,)
    return isinstance(values, list) and all(type(value) in kinds for value in values)


def check_parameters(parameters: Mapping[str, Any], inputs: Mapping[str, Any], owners: Mapping[str, str]) -> None:
    """Checks parameters before they are sent to a cluster.

    Args:
        parameters: values by name.
        inputs: the pipeline's inputs by name, from its component spec.
        owners: as for `explain_unknown`.

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
            raise ValueError(explain_unknown(name, inputs, owners))
        kind = inputs[name].type
        if kind not in types:
            # KFP passes the elements on as they are: an event type 0 would be read as "0.0".
            elements = _list_type(inputs[name].default)
            if not _is_list_of(value, elements):
                raise ValueError(
                    f"Expected {name} to be of the type list of {_ELEMENTS[elements]}. Received: {value!r}"
                )
        elif not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "Boolean"):
            raise ValueError(f"Expected {name} to be of the type {kind}. Received: {value!r}")
