"""The configuration of a run as a YAML file: a mapping from parameters to their values."""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.core.strict_yaml import load_yaml
from pipeline.graph_parameters import LOCAL_PARAMETERS
from pipeline.names import explain_unknown
from pipeline.settings import check_parameters


def check_config(
    document: Mapping[str, Any],
    path: Path,
    inputs: Mapping[str, Any],
    others: Mapping[str, Any],
    *,
    owners: Mapping[str, str],
) -> dict[str, Any]:
    """Checks a configuration and converts its values.

    Args:
        document: the mapping from `load_config`.
        path: the file that it was read from, for error messages.
        inputs: the inputs of the pipeline by name, from its component spec.
        others: the inputs of the other pipeline. Those that have no value or their default are left out.
        owners: as for `explain_unknown`.

    Returns:
        Values by parameter. Empty texts are left out where the pipeline has no such parameter.

    Raises:
        ValueError: a parameter is unknown or one that the run sets itself, or a value has the wrong type.
    """
    values = {}
    for name, value in document.items():
        if name in LOCAL_PARAMETERS:
            raise ValueError(f"{path}: The run sets {name} itself, to a folder in --output. Omit it.")
        if name not in inputs:
            if name in others and value in ("", others[name].default):
                continue
            raise ValueError(f"{path}: {explain_unknown(str(name), inputs, owners)}")
        values[name] = _convert(value, inputs[name].type)
    try:
        check_parameters(values, {name: inputs[name] for name in values}, {})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return values


def load_config(path: Path) -> dict[str, Any]:
    """Reads the mapping of a configuration, without checking it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no mapping, or has a key twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected --config to be a YAML file. Received: {path}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected {path} to be YAML. Received: {error}") from error
    document = load_yaml(text, str(path))
    if not isinstance(document, dict):
        kind = type(document).__name__
        raise ValueError(f"Expected {path} to map parameters to values, such as `max_epochs: 4`. Received: {kind}")
    return document


def _convert(value: Any, kind: str) -> Any:
    """Converts what YAML reads as another type: dates, whole numbers, and numbers such as 1e-3."""
    if kind == "String" and isinstance(value, datetime.date):
        return value.isoformat()
    if kind == "Float" and type(value) is int:
        return float(value)
    if kind == "Float" and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def make_config(inputs: Mapping[str, Any], arguments: Mapping[str, Any], *, preset: str) -> str:
    """Returns the values of all parameters as YAML, defaults included, for `run --config`.

    Args:
        inputs: the inputs of the pipeline by name, from its component spec.
        arguments: the values that are not defaults.
        preset: name of the preset that the run started from.
    """
    values = effective_values(inputs, arguments)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None, width=1_000)
    return f"# All parameters of a run (preset: {preset}). Use it again: two-tower run --config FILE\n{text}"


def effective_values(inputs: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of all parameters, except those that a local run sets itself."""
    values = {name: spec.default for name, spec in inputs.items() if spec.optional}
    return {
        name: value
        for name in inputs
        if name not in LOCAL_PARAMETERS and (value := {**values, **arguments}.get(name)) is not None
    }
