"""Completion of parameters in the shell; docs/running.md says how to turn it on."""

import click
from click.shell_completion import CompletionItem


def complete_name(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name of a parameter."""
    return [CompletionItem(name, help=text) for name, text in _describe(incomplete).items()]


def complete_setting(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name in NAME=VALUE; the value is free."""
    if "=" in incomplete:
        return []
    return [CompletionItem(f"{name}=", help=text) for name, text in _describe(incomplete).items()]


def _describe(incomplete: str) -> dict[str, str]:
    """Returns the descriptions of the parameters whose names begin so, by name."""
    from pipeline.graph_parameters import ALL_COMPONENTS
    from pipeline.parameter_table import list_inputs
    from pipeline.parameters import get_description

    return {
        name: get_description(spec)
        for component in ALL_COMPONENTS
        for name, spec in list_inputs(component).items()
        if name.startswith(incomplete)
    }
