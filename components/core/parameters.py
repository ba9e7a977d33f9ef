"""Converts the arguments of a component to the parameters of its step."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args

Parameters = TypeVar("Parameters")


def make_parameters(kind: type[Parameters], arguments: Mapping[str, Any]) -> Parameters:
    """Creates a dataclass from the arguments that have the names of its fields.

    Args:
        kind: the dataclass. A field whose type is a dataclass is created from the same arguments.
        arguments: arguments of a component by name. A list is converted to a tuple with elements of the field's type,
            because KFP passes integers in a list as floats.

    Raises:
        KeyError: an argument is missing.
        ValueError: the dataclass rejects a value.
    """

    def make(name: str, field_type: Any) -> Any:
        if is_dataclass(field_type):
            return make_parameters(field_type, arguments)  # type: ignore[arg-type]  # a class, not an instance
        value = arguments[name]
        return tuple(map(get_args(field_type)[0], value)) if isinstance(value, list) else value

    return kind(**{field.name: make(field.name, field.type) for field in fields(kind)})  # type: ignore[arg-type]
