"""Finds the layout of a log: by its name, or by the first line of a file."""

from components.core.logs.layout_table import LAYOUTS, LogLayout


def get_layout(name: str) -> LogLayout:
    """Returns a layout.

    Raises:
        ValueError: the layout is unknown.
    """
    if name not in LAYOUTS:
        raise ValueError(f"Expected a layout, one of {', '.join(LAYOUTS)}. Received: {name!r}")
    return LAYOUTS[name]


def suggest(first_line: str) -> str:
    """Returns the name of the layout that the first line of a file fits exactly; empty for none.

    If several layouts fit, it is the first of LAYOUTS.
    """
    line = first_line.removeprefix("\ufeff").rstrip("\r\n")
    return next((layout.name for layout in LAYOUTS.values() if layout.fits(line)), "")


def describe_fit(first_line: str) -> str:
    """Returns a sentence that suggests the layout of the first line of a file; empty for none."""
    name = suggest(first_line)
    return f"This looks like the layout {name}: add --layout {name}" if name else ""
