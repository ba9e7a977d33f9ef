"""What is known of each parameter: its step, type, default, bounds and description."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.core.parameters import make_parameters
from pipeline.graph_parameters import ALL_COMPONENTS, LOCAL_PARAMETERS, PUBLICATION_PARAMETERS, TASK_PARAMETERS
from pipeline.parameters import get_description
from pipeline.validation import PLACEHOLDERS, UNCHECKED, get_dataclass, get_defaults

_EXPECTED = re.compile(r"Expected (?:each of )?(\w+) to be (.+?)\.? Received: ", re.DOTALL)
# Values that most parameters reject; the message then says what is accepted.
_PROBES: dict[type, tuple[Any, ...]] = {
    bool: (),
    int: (-(2**40), 2**40, 0),
    float: (-math.inf, math.inf, -1.0),
    str: ("?",),
    list: (["?"],),
}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of the pipelines.

    Attributes:
        name: its name.
        steps: the steps that take it.
        kind: its type in KFP's words.
        defaults: its defaults by step; none if it has to be given.
        bounds: the values that are accepted, in the words of the step's error message; empty if all are.
        description: what it means.
    """

    name: str
    steps: tuple[str, ...]
    kind: str
    defaults: dict[str, Any]
    bounds: str
    description: str


def list_parameters() -> dict[str, Parameter]:
    """Returns all parameters of both pipelines by name, in the order of the steps."""
    found: dict[str, Parameter] = {}
    for component in ALL_COMPONENTS:
        defaults = get_defaults(component)
        for name, spec in list_inputs(component).items():
            known = found.get(name)
            found[name] = Parameter(
                name=name,
                steps=(*(known.steps if known else ()), component.name),
                kind={"String": "text", "Integer": "integer", "Float": "number", "Boolean": "true or false"}.get(
                    spec.type, "list"
                ),
                defaults={
                    **(known.defaults if known else {}),
                    **({component.name: defaults[name]} if name in defaults else {}),
                },
                bounds=(known.bounds if known else "") or find_bounds(component.name, name, defaults),
                description=(known.description if known else "") or get_description(spec),
            )
    return found


def list_inputs(component: Any) -> dict[str, Any]:
    """Returns KFP's specifications of the component's parameters that a user can set, by name."""
    own = (*PUBLICATION_PARAMETERS, *TASK_PARAMETERS, *LOCAL_PARAMETERS)
    return {
        name: spec for name, spec in component.component_spec.inputs.items() if "@" not in spec.type and name not in own
    }


def find_bounds(step: str, name: str, defaults: Mapping[str, Any]) -> str:
    """Finds what a step accepts by asking its dataclass: it refuses wrong values with a message that says so.

    Args:
        step: the step.
        name: the parameter.
        defaults: the defaults of the step's parameters.
    """
    default = defaults.get(name)
    if step in UNCHECKED or default is None or type(default) not in _PROBES:
        return ""
    given = {**PLACEHOLDERS, **defaults}
    if step == "publish":
        given["serving_uri"] = "/serving"
    texts = [_ask(step, {**given, name: probe}, name) for probe in _PROBES[type(default)]]
    return ", ".join(dict.fromkeys(text for text in texts if text))


def _ask(step: str, values: Mapping[str, Any], name: str) -> str:
    """Returns what the step's dataclass says it expected of a parameter; empty if it accepts the values."""
    try:
        make_parameters(get_dataclass(step), values)
    except (ValueError, OverflowError, TypeError) as error:
        match = _EXPECTED.match(str(error))
        if match and match[1] == name:
            return match[2]
    return ""


def select(parameters: Mapping[str, Parameter], step: str) -> Iterable[Parameter]:
    """Yields the parameters that belong to a step and to none before it."""
    return (each for each in parameters.values() if each.steps[0] == step)


def show_default(parameter: Parameter) -> str:
    """Writes the default, or the defaults if the steps have different ones."""
    shown = {step: show_value(value) for step, value in parameter.defaults.items()}
    if not shown:
        return "(required)"
    if len(set(shown.values())) == 1:
        return next(iter(shown.values()))
    return ", ".join(f"{value} ({step})" for step, value in shown.items())


def show_value(value: Any) -> str:
    """Writes a value as `--set` reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value)) or '""'
    return '""' if value == "" else str(value)
