"""Selects the settings of a log's layout that a pipeline or component has parameters for."""

from collections.abc import Collection
from typing import Any

from components.core.logs.layouts import get_layout

LAYOUT_HELP = "Read the log with the settings of a well-known layout; `two-tower layouts` lists them."


def get_layout_settings(name: str, parameters: Collection[str]) -> dict[str, Any]:
    """Returns the settings of a layout.

    A raw log gets all of them. Split logs get those that describe the files: their sessions and splits are given.

    Args:
        name: name of the layout; empty for none.
        parameters: names of the parameters of the pipeline or component that reads the log.

    Raises:
        ValueError: the layout is unknown, or split logs cannot be read with it.
    """
    if not name:
        return {}
    settings = get_layout(name).settings
    if "log_path" in parameters:
        return dict(settings)
    if "session_column" not in settings:
        raise ValueError(
            f"Expected a layout whose log contains sessions for split logs. Received: {name}, whose sessions are cut "
            "from a raw log (--events)"
        )
    if settings["event_column"]:
        raise ValueError(
            f"Expected a layout in which every event counts for split logs. Received: {name}, whose events are "
            "selected by type from a raw log (--events)"
        )
    return {key: value for key, value in settings.items() if key in parameters}
