"""Parallel coordinates: a row for each parameter, a line for each trial."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.core.charts import ACCENT, INK, MUTED, OTHER, Chart, render
from components.suggest.search import COMPLETE, find_best
from components.suggest.spaces import Dimension, Space

ROW_HEIGHT = 44
CHARACTER = 7.2
OBJECTIVE = "objective"


def draw_trials(space: Space, trials: Sequence[Mapping[str, Any]]) -> Chart:
    """Draws each complete trial as a line through its values; the better, the more opaque.

    The best trial is thick, and the first one, which has the values that the search started from, is dashed. Every row
    goes from the lowest value on the left to the highest; choices stand in the order of the space.

    Args:
        space: the space.
        trials: the trials; at least one is complete.
    """
    complete = [trial for trial in trials if trial["state"] == COMPLETE]
    best = find_best(trials)["number"]
    lowest, highest = (extreme(trial["value"] for trial in complete) for extreme in (min, max))
    axes = {**space, OBJECTIVE: Dimension(low=lowest, high=highest)}
    points, labels = [], []
    for row, (name, dimension) in enumerate(axes.items()):
        for trial in complete:
            value = trial["value"] if name == OBJECTIVE else trial["parameters"][name]
            points.append(
                {
                    "trial": trial["number"],
                    "axis": name,
                    "row": row,
                    "place": _place(dimension, value),
                    "opacity": 0.15 + 0.55 * _share(lowest, highest, trial["value"]),
                    "kind": "best" if trial["number"] == best else "first" if trial["number"] == 1 else "other",
                }
            )
        ends = dimension.choices or (dimension.low, dimension.high)
        labels += [
            {"axis": name, "place": place, "label": show(each), "align": align}
            for each in dict.fromkeys(ends)
            for place in [_place(dimension, each)]
            for align in ["left" if place < 0.01 else "right" if place > 0.99 else "center"]
        ]
    y = {
        "field": "axis",
        "type": "nominal",
        "sort": list(axes),
        # The browser's font may be wider than the one by which Vega-Lite makes room.
        "axis": {"title": None, "grid": True, "minExtent": CHARACTER * max(map(len, axes))},
    }
    x = {"field": "place", "type": "quantitative", "axis": None, "scale": {"domain": [0, 1], "nice": False}}

    def lines(kind: str, **mark: Any) -> dict[str, Any]:
        opacity = {"opacity": {"field": "opacity", "type": "quantitative", "scale": None}} if kind == "other" else {}
        return {
            "data": {"values": points},
            "transform": [{"filter": f"datum.kind === '{kind}'"}],
            "mark": {"type": "line", **mark},
            "encoding": {"x": x, "y": y, "detail": {"field": "trial"}, "order": {"field": "row"}, **opacity},
        }

    def texts(align: str) -> dict[str, Any]:
        return {
            "data": {"values": labels},
            "transform": [{"filter": f"datum.align === '{align}'"}],
            "mark": {"type": "text", "align": align, "baseline": "top", "dy": 6, "color": MUTED, "fontSize": 11},
            "encoding": {"x": x, "y": y, "text": {"field": "label"}},
        }

    layers = [
        lines("other", color=OTHER, strokeWidth=1.5),
        lines("first", color=INK, strokeWidth=1.5, strokeDash=[5, 4]),
        lines("best", color=ACCENT, strokeWidth=3),
        *map(texts, ("left", "center", "right")),
    ]
    text = "; ".join(
        f"trial {trial['number']}{' (best)' if trial['number'] == best else ''}: objective {trial['value']:.4f}"
        for trial in complete
    )
    spec = {"height": ROW_HEIGHT * len(axes), "layer": layers}
    return render(spec, "Values and objective of each trial", text)


def show(value: Any) -> str:
    """Writes a value of a parameter, numbers with four digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _place(dimension: Dimension, value: Any) -> float:
    """Returns the place of a value on its row, from 0 to 1; values outside the space are at an end."""
    if dimension.choices:
        if value not in dimension.choices:
            return 0.0
        return dimension.choices.index(value) / max(1, len(dimension.choices) - 1)
    low, high = dimension.low, dimension.high
    if dimension.log:
        low, high, value = math.log(low), math.log(high), math.log(max(value, low))
    return _share(low, high, value)


def _share(low: float, high: float, value: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 1.0
