"""Checks the values of parameters with the steps' own dataclasses, before a run or a submission starts."""

import importlib.util
import inspect
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from components.core.parameters import make_parameters

# What a graph sets itself, for the check.
PLACEHOLDERS = {"publication_key": "run", "champion_version": -1}

UNCHECKED = ("notify", "report")  # steps that refuse no value


def check_values(components: Iterable[Any], arguments: Mapping[str, Any]) -> None:
    """Checks the parameters of each step whose libraries are installed.

    Compiling and submitting need less than the steps do. A step whose libraries are missing checks its own parameters
    when it starts.

    Args:
        components: the components.
        arguments: values of parameters by name; the others have their defaults.

    Raises:
        ValueError: a step rejects a value, or values that exclude each other.
    """
    for component in components:
        if component.name in UNCHECKED or (component.name == "publish" and not arguments.get("serving_uri")):
            continue  # without a serving location nothing is published
        with suppress(ImportError):
            make_parameters(get_dataclass(component.name), {**PLACEHOLDERS, **get_defaults(component), **arguments})
    if arguments.get("warm_start") and not arguments.get("serving_uri"):
        raise ValueError(
            "Expected serving_uri (--serving of `two-tower run`) with warm_start=true, as the location of the model to "
            "start from. Received: none"
        )


def check_index_package(arguments: Mapping[str, Any]) -> None:
    """Checks that tasks that run with this Python can build the index; an image has all packages.

    Raises:
        ValueError: the package is not installed.
    """
    if arguments.get("index_kind") == "scann" and importlib.util.find_spec("scann") is None:
        raise ValueError(
            "Expected the package scann for index_kind scann: install scann 1.4.2, which there is for Linux and Python "
            "3.11 and 3.12, or use index_kind=brute_force or --runner docker. Received: none"
        )


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
    if step == "suggest":
        from components.suggest.parameters import SuggestParameters

        return SuggestParameters
    if step == "verify":
        from components.verify.parameters import VerifyParameters

        return VerifyParameters
    if step == "publish":
        from components.publish.parameters import PublishParameters

        return PublishParameters
    raise ValueError(f"Expected a step with parameters. Received: {step!r}")
