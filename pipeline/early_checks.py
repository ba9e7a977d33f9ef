"""Checks of parameters before a run starts that a task would only make hours later."""

import contextlib
from collections.abc import Mapping
from typing import Any


def check_gate_parameters(arguments: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Checks the parameters of the gate, if the pipeline has one and what the check needs is installed.

    Compiling and submitting need less than the steps do. Without it, `gate` itself refuses them, after the training.

    Args:
        arguments: values of the pipeline's parameters.
        inputs: the pipeline's inputs by name, from its component spec.

    Raises:
        ValueError: a value is out of bounds.
    """
    if "gate_override" not in inputs:
        return
    with contextlib.suppress(ImportError):
        from components.core.parameters import make_parameters
        from components.gate.parameters import GateParameters

        make_parameters(GateParameters, {**{name: spec.default for name, spec in inputs.items()}, **arguments})
