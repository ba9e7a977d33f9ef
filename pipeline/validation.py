"""Checks the values of parameters with the steps' own dataclasses, before the first step starts."""

import inspect
from collections.abc import Mapping
from typing import Any

from components.core.parameters import make_parameters

# What a graph sets itself, for the check.
_PLACEHOLDERS = {"publication_key": "run", "champion_version": -1}


def check_values(components: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Checks the parameters of each step.

    Args:
        components: the components by name.
        arguments: values of parameters by name; the others have their defaults.

    Raises:
        ValueError: a step rejects a value, or values that exclude each other.
    """
    for name, component in components.items():
        if name in ("notify", "report") or (name == "publish" and not arguments.get("serving_uri")):
            continue  # these two refuse nothing here, and without a serving location nothing is published
        make_parameters(get_dataclass(name), {**_PLACEHOLDERS, **get_defaults(component), **arguments})


def get_defaults(component: Any) -> dict[str, Any]:
    """Returns the defaults of a component's parameters; those without a default are missing."""
    signature = inspect.signature(component.python_func).parameters
    return {
        name: signature[name].default
        for name, spec in (component.component_spec.inputs or {}).items()
        if "@" not in spec.type and signature[name].default is not inspect.Parameter.empty
    }


def get_dataclass(step: str) -> type:
    """Returns the dataclass with the parameters of a step. None of them loads TensorFlow."""
    if step == "ingest":
        from components.ingest.step import IngestParameters

        return IngestParameters
    if step == "sessionize":
        from components.sessionize.step import SessionizeParameters

        return SessionizeParameters
    if step == "vocabulary":
        from components.vocabulary.parameters import VocabularyParameters

        return VocabularyParameters
    if step == "train":
        from components.train.parameters import TrainParameters

        return TrainParameters
    if step == "evaluate":
        from components.evaluate.parameters import EvaluateParameters

        return EvaluateParameters
    if step == "export":
        from components.export.parameters import ExportParameters

        return ExportParameters
    if step == "gate":
        from components.gate.parameters import GateParameters

        return GateParameters
    if step == "verify":
        from components.verify.parameters import VerifyParameters

        return VerifyParameters
    if step == "publish":
        from components.publish.parameters import PublishParameters

        return PublishParameters
    if step == "notify":
        from components.notify.step import NotifyParameters

        return NotifyParameters
    raise ValueError(f"Expected a step with parameters. Received: {step!r}")
