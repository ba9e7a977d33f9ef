"""A comparison as one HTML page, which needs no other file and no network."""

from collections.abc import Sequence
from html import escape

from pipeline.comparison import Comparison

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #8886; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
.warning { border-left: 4px solid #c60; padding: .3rem .8rem; }
bdi { overflow-wrap: anywhere; }
"""


def make_page(comparison: Comparison) -> str:
    """Returns the page; all names and values in it are text, whatever they contain."""
    first, *others = comparison.names
    metrics = []
    for name, values in comparison.values.items():
        pairs = zip(values[1:], comparison.intervals[name], strict=True)
        differences = [describe_difference(value, values[0], interval) for value, interval in pairs]
        metrics.append([name, *(f"{value:.4f}" for value in values), *differences])
    titles = ["", *comparison.names, *(f"{name} minus {first} (95% interval)" for name in others)]
    rows = [[name, *map(show, values)] for name, values in comparison.differences.items()]
    parts = [
        "<h1>Comparison of runs</h1>",
        *(f'<p class="warning" role="note">Warning: {_text(each)}</p>' for each in comparison.warnings),
        _make_table("Metrics of the model on the test sessions", titles, metrics),
        _make_table("What differs", ["", *comparison.names], rows)
        if rows
        else "<p>The runs have the same parameters and data.</p>",
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Comparison of runs</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def describe_difference(value: float, first: float, interval: Sequence[float] | None) -> str:
    """Describes a difference, its interval, and whether it is clear of chance."""
    text = f"{value - first:+.4f}"
    if interval is None:
        return text
    low, high = interval
    verdict = "better" if low > 0 else "worse" if high < 0 else "no clear difference"
    return f"{text} [{low:+.4f}, {high:+.4f}] {verdict}"


def show(value: object) -> str:
    """Writes a value of a parameter."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _make_table(caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{_text(title)}</th>' for title in titles)
    lines = [
        f'<tr><th scope="row">{_text(row[0])}</th>{"".join(f"<td>{_text(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    ]
    body = "\n".join(lines)
    return (
        f'<div class="wide"><table><caption>{_text(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _text(text: str) -> str:
    return f"<bdi>{escape(text)}</bdi>"
