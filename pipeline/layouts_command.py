"""The command that lists the layouts of well-known logs. It only prints."""

import json
from typing import Any

import click

from components.core.logs.layout_table import LAYOUTS


@click.command("layouts")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def layouts_command(as_json: bool) -> None:
    """Lists the layouts of well-known logs, for --layout of run, check, submit and schedule."""
    layouts = LAYOUTS.values()
    if as_json:
        keys = ("name", "description", "source", "url", "settings")
        click.echo(json.dumps([{key: getattr(layout, key) for key in keys} for layout in layouts], indent=2))
        return
    for layout in layouts:
        click.echo(f"{layout.name}\n  {layout.description}\n  {layout.source}: {layout.url}")
        click.echo("".join(f"    {name}={_show(value)}\n" for name, value in layout.settings.items()))


def _show(value: Any) -> str:
    """The value as it would be written after --set NAME=."""
    return value.replace("\t", "\\t") if isinstance(value, str) else json.dumps(value)
