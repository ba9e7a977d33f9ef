"""The page docs/parameters.md, made from what the components say of their parameters."""

from collections.abc import Mapping, Sequence

from pipeline import presets
from pipeline.graph_parameters import ALL_COMPONENTS
from pipeline.parameter_table import Parameter, select, show_value

HEAD = """# Parameters

All parameters of the pipelines, by the first step that takes them. `two-tower parameters --markdown` writes this page.
Set them with `--set NAME=VALUE`, in the file of `--config`, or in the form of the cluster's page. "Accepted" is empty
where every value of the type is."""


def make_page(parameters: Mapping[str, Parameter]) -> str:
    """Returns the page as Markdown: a table for each step, then one for each preset."""
    parts = [HEAD]
    for component in ALL_COMPONENTS:
        rows = [
            (f"`{each.name}`", each.kind, _show_defaults(each), each.bounds, each.description)
            for each in select(parameters, component.name)
        ]
        if rows:
            parts.append(f"## {component.name}")
            parts.append(_make_table(("parameter", "type", "default", "accepted", "meaning"), rows))
    parts.append("## Presets")
    parts.append(
        "A preset is a set of values for `--preset NAME`. `default` has none: its values are the defaults above."
    )
    for name, values in presets.PRESETS.items():
        if values:
            table = _make_table(
                ("parameter", "value"), [(f"`{key}`", f"`{show_value(value)}`") for key, value in values.items()]
            )
            parts += [f"### {name}", table]
    return "\n\n".join(parts) + "\n"


def _show_defaults(parameter: Parameter) -> str:
    """Returns the default, or those of the steps if they differ."""
    shown = {step: f"`{show_value(value)}`" for step, value in parameter.defaults.items()}
    if len(set(shown.values())) < 2:
        return next(iter(shown.values()), "(required)")
    return ", ".join(f"{value} ({step})" for step, value in shown.items())


def _make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
