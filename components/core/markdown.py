"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def make_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table; each cell becomes one line, and `|` in a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.replace("|", "\\|").splitlines()) for cell in line) + " |" for line in lines
    )
