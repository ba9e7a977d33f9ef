"""The command that compares runs."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.comparison import Comparison, compare, read_run
from pipeline.comparison_page import describe_difference, make_page, show
from pipeline.report import escape, say


@click.command("compare")
@click.argument("paths", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--html", "html_path", type=click.Path(dir_okay=False, path_type=Path), help="Also write the comparison as a page."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare_command(paths: tuple[Path, ...], html_path: Path | None, as_json: bool) -> None:
    """Compares each RUN with the first one: metrics with 95% intervals of the difference, parameters and data.

    A RUN is an output folder, a folder in its `runs`, or a metrics.json beside which ranks.parquet lies. The intervals
    are paired, so the runs must have ranked the same targets; a warning says where they have not.

    Exit codes: 0 success, 1 a run cannot be read, 2 usage error.
    """
    if len(paths) < 2:
        raise click.UsageError("Expected at least two runs. Received: one")
    if html_path is not None and not html_path.parent.is_dir():
        raise FileNotFoundError(
            f"Expected --html to be a file in a folder that exists. Received: {html_path.parent}, which does not; "
            "create it, or choose another folder"
        )
    comparison = compare([read_run(path) for path in paths])
    if html_path is not None:
        html_path.write_text(make_page(comparison), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(vars(comparison), indent=2))
        return
    _print(comparison, Console())
    if html_path is not None:
        say(f"The page is {html_path}.")


def _print(comparison: Comparison, console: Console) -> None:
    first, *others = comparison.names
    table = _make_table("", comparison.names)
    for name in others:
        table.add_column(Text(escape(f"{name} minus {first}" if len(others) > 1 else "difference")))
    for name, values in comparison.values.items():
        gaps = comparison.intervals[name]
        differences = [describe_difference(value, values[0], gap) for value, gap in zip(values[1:], gaps, strict=True)]
        table.add_row(Text(escape(name)), *(f"{value:.4f}" for value in values), *(Text(each) for each in differences))
    console.print(table)
    if comparison.differences:
        table = _make_table("differs", comparison.names)
        for name, values in comparison.differences.items():
            table.add_row(Text(escape(name)), *(Text(escape(show(value)), overflow="fold") for value in values))
        console.print(table)
    else:
        console.print("The runs have the same parameters and data.")
    for warning in comparison.warnings:
        console.print(Text(escape(f"Warning: {warning}"), style="bold"), soft_wrap=True)


def _make_table(title: str, names: list[str]) -> Table:
    table = Table(title)
    for name in names:
        table.add_column(Text(escape(name), overflow="fold"))
    return table
