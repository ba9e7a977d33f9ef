"""The command that lists the parameters of the pipelines."""

import json
import textwrap
from typing import Any

import click

from pipeline import presets
from pipeline.completion import complete_name
from pipeline.graph_parameters import ALL_COMPONENTS
from pipeline.names import suggest
from pipeline.parameter_page import make_page
from pipeline.parameter_table import Parameter, list_parameters, select, show_default, show_value

WIDTH = 110  # of the descriptions, in characters


@click.command("parameters")
@click.argument("name", required=False, shell_complete=complete_name)
@click.option("--preset", default=presets.DEFAULT, show_default=True, help="Show the values of this preset too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", is_flag=True, help="Print the page docs/parameters.md.")
def parameters_command(name: str | None, preset: str, as_json: bool, markdown: bool) -> None:
    """Lists the parameters of the pipelines by step, or describes the one with the given NAME.

    Each has its default, the values that are accepted, and its meaning. Set them with `--set NAME=VALUE` or in the file
    of `--config`.

    Exit codes: 0 success, 1 there is no such parameter or preset, 2 usage error.
    """
    values = presets.get_preset(preset)
    parameters = list_parameters()
    if markdown:
        if name is not None or as_json:
            raise click.UsageError("Expected --markdown alone. Received: --markdown with NAME or --json")
        click.echo(make_page(parameters), nl=False)
        return
    if name is not None:
        if name not in parameters:
            raise ValueError(f"Expected a parameter. Received: {name!r}. {suggest(name, parameters)}".rstrip())
        parameters = {name: parameters[name]}
    if as_json:
        listed = [
            {**vars(each), **({"preset": values[each.name]} if each.name in values else {})}
            for each in parameters.values()
        ]
        click.echo(json.dumps(listed, indent=2))
    elif name is not None:
        _print_one(parameters[name])
    else:
        _print_all(parameters, values, preset)


def _print_all(parameters: dict[str, Parameter], values: dict[str, Any], preset: str) -> None:
    for component in ALL_COMPONENTS:
        own = list(select(parameters, component.name))
        if not own:
            continue
        click.echo(component.name)
        for each in own:
            own_value = f"  {preset}: {show_value(values[each.name])}" if each.name in values else ""
            accepted = f"  [{each.bounds}]" if each.bounds else ""
            click.echo(f"  {each.name} = {show_default(each)}{own_value}{accepted}")
            click.echo(textwrap.indent(textwrap.fill(each.description, WIDTH - 6), " " * 6))
        click.echo()
    click.echo("`two-tower parameters NAME` describes one of them, with the values of all presets.")


def _print_one(parameter: Parameter) -> None:
    presets_with_it = {name: each[parameter.name] for name, each in presets.PRESETS.items() if parameter.name in each}
    lines = {
        "parameter": parameter.name,
        "meaning": parameter.description,
        "step": ", ".join(parameter.steps),
        "type": parameter.kind,
        "default": show_default(parameter),
        "accepted": parameter.bounds or "any",
        **{f"preset {name}": show_value(value) for name, value in presets_with_it.items()},
    }
    for label, text in lines.items():
        click.echo(f"{label + ':':18} {text}")
