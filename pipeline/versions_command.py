"""The command that lists the published versions. It only prints."""

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.core.presentation import show_time
from pipeline.report import escape, say

SERVING_HELP = "Serving location: a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX."
METRICS = ("recall@20", "mrr@20")


@click.command("versions")
@click.option("--serving", "uri", required=True, metavar="URI", help=SERVING_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def versions_command(uri: str, as_json: bool) -> None:
    """Lists the complete versions in a serving location; the newest one is served.

    Exit codes: 0 listed, even if there is none; 1 the location or a manifest cannot be read; 2 usage error.
    """
    from components.core.serving.location import open_location

    contents = open_location(uri).scan()
    served = max(contents.newest, *contents.unreadable, 0)
    rows = [
        _describe(manifest.document, is_served=version == served) for version, manifest in contents.manifests.items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        _print(rows)
    elif not contents.unreadable:
        say(f"No version is published in {uri}.")
    contents.check_readable()


def _describe(document: dict[str, Any], *, is_served: bool) -> dict[str, Any]:
    found = document["metrics"].get("model", {})
    copied = ("version", "created", "trained_until", "publication_key")
    return {
        **{name: document[name] for name in copied},
        **{name: found.get(name) for name in METRICS},
        "gate_override": document.get("gate_override"),
        "rolled_back": document.get("rolled_back"),
        "served": is_served,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table("version", "", "created", "trained until", *METRICS, "publication")
    for row in rows:
        until = row["trained_until"]
        rolled_back = row["rolled_back"]
        cells = (
            str(row["version"]),
            "served" if row["served"] else "",
            row["created"],
            show_time(until, "minutes") if isinstance(until, int) else str(until or ""),
            *("" if row[name] is None else f"{row[name]:.4f}" for name in METRICS),
            f"version {rolled_back['to']} again" if rolled_back else row["publication_key"],
        )
        table.add_row(*(Text(escape(cell)) for cell in cells))
    Console().print(table)
