"""Derives a pipeline's parameters from its components: each is defined only in a component's signature."""

import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any

from kfp import dsl


def make_pipeline(
    graph: Callable[[dict[str, Any]], Any],
    components: Iterable[Any],
    *,
    name: str,
    display_name: str,
    fixed: Collection[str] = (),
) -> Any:
    """Creates a pipeline with the parameters of its components, including types, defaults and descriptions.

    KFP reads a pipeline's parameters from the signature and docstring of a function. This generates both.

    Args:
        graph: creates the tasks from the parameters by name, and returns the artifacts. Its docstring is the
            description of the pipeline, its return annotation the type of the artifacts.
        components: the components of the graph's tasks.
        name: the pipeline's name.
        display_name: the name on the cluster's web page.
        fixed: component parameters that the graph sets itself, and that are not parameters of the pipeline.

    Raises:
        ValueError: components disagree on the type, default or description of a parameter, or a parameter has no
            description or is not used by any task.
    """
    parameters: dict[str, inspect.Parameter] = {}
    descriptions: dict[str, str] = {}
    for component in components:
        signature = inspect.signature(component.python_func)
        for key, spec in (component.component_spec.inputs or {}).items():
            if "@" in spec.type or key in fixed:  # an artifact's type carries a version: system.Dataset@0.0.1
                continue
            found = inspect.Parameter(
                key,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=signature.parameters[key].default,
                annotation=signature.parameters[key].annotation,
            )
            _check_same(f"The parameter {key} of {component.name}", parameters.setdefault(key, found), found)
            if spec.description:
                description = get_description(spec)
                text = descriptions.setdefault(key, description)
                _check_same(f"The description of {key} of {component.name}", text, description)
    undescribed = [key for key in parameters if key not in descriptions]
    if undescribed:
        raise ValueError(f"Expected a description of each parameter. Received none for: {', '.join(undescribed)}")

    def function(*values: Any) -> Any:
        return graph(dict(zip(signature.parameters, values, strict=True)))

    in_order = sorted(parameters.values(), key=lambda each: each.default is not inspect.Parameter.empty)
    signature = inspect.Signature(in_order, return_annotation=inspect.signature(graph).return_annotation)
    lines = [f"{each.name}: {descriptions[each.name]}" for each in in_order]
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__doc__ = "\n    ".join([f"{inspect.getdoc(graph)}\n\nArgs:", *lines])
    pipeline = dsl.pipeline(name=name, display_name=display_name)(function)
    taken = {
        source.component_input_parameter
        for task in pipeline.pipeline_spec.root.dag.tasks.values()
        for source in task.inputs.parameters.values()
    }
    idle = sorted(parameters.keys() - taken)
    if idle:
        raise ValueError(f"Expected each parameter to be used by a task. Received unused parameters: {', '.join(idle)}")
    return pipeline


def get_description(spec: Any) -> str:
    """Returns the description of a component's input in one line; KFP loses those that follow."""
    return " ".join((spec.description or "").split())


def _check_same(what: str, first: object, second: object) -> None:
    if first != second:
        raise ValueError(f"{what} differs between components: {second} here, {first} in an earlier one.")
