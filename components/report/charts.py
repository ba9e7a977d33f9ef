"""Charts of the report. Series differ in shape and dash too, not by colour alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.core.charts import ACCENT, OTHER, WIDTH, Chart, render

ROW_HEIGHT = 26
CHARACTER = 7.2


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A value of a series in a row.

    Attributes:
        label: the row.
        value: the value.
        series: MODEL or another name.
        low: lower bound of its interval; None for none.
        high: upper bound, likewise.
    """

    label: str
    value: float
    series: str
    low: float | None = None
    high: float | None = None


def draw_dots(dots: Sequence[Dot], *, title: str, metric: str, model: str) -> Chart:
    """Draws a row per label: a filled circle with its interval for the model, a hollow diamond for other series.

    Args:
        dots: the values.
        title: the title.
        metric: what the values are, for the text.
        model: name of the model's series.
    """
    values = [vars(dot) for dot in dots]
    labels = list(dict.fromkeys(dot.label for dot in dots))
    # The browser's font may be wider than the one by which Vega-Lite makes room.
    room = CHARACTER * max(map(len, labels))
    y = {"field": "label", "type": "nominal", "sort": labels, "axis": {"title": None, "grid": True, "minExtent": room}}
    x = {"field": "value", "type": "quantitative", "axis": {"title": None, "tickCount": 4}, "scale": {"zero": True}}
    is_model = f"datum.series === {model!r}"

    def layer(mark: Mapping[str, Any], condition: str, **more: Any) -> dict[str, Any]:
        return {"transform": [{"filter": condition}], "mark": mark, "encoding": {"x": x, "y": y, **more}}

    layers = [
        {
            "transform": [{"filter": "datum.low !== null"}],
            "mark": {"type": "rule", "color": ACCENT, "strokeWidth": 2},
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y},
        },
        layer({"type": "point", "shape": "diamond", "size": 55, "color": OTHER, "strokeWidth": 1.5}, f"!({is_model})"),
        layer(
            {"type": "point", "shape": "circle", "size": 65, "filled": True, "color": ACCENT, "opacity": 1}, is_model
        ),
    ]
    dots_text = (f"{dot.label}, {dot.series}: {dot.value:.3f}{_interval(dot)}" for dot in dots)
    text = f"{metric}: {'; '.join(dots_text)}"
    return render({"height": ROW_HEIGHT * len(labels), "data": {"values": values}, "layer": layers}, title, text)


def draw_lines(points: Sequence[Mapping[str, Any]], *, title: str, form: str = ".3f", from_zero: bool = False) -> Chart:
    """Draws a line per series over the epochs; the first series is solid with circles, the second dashed with squares.

    Args:
        points: `epoch`, `value` and `series` of each point.
        title: the title.
        form: format of the values in the text.
        from_zero: whether the axis of the values begins at 0.
    """
    series = list(dict.fromkeys(point["series"] for point in points))
    epochs = sorted({point["epoch"] for point in points})
    encoding = {
        "x": {
            "field": "epoch",
            "type": "quantitative",
            "axis": {"title": "epoch", "grid": False, "format": "d", "values": epochs[:: 1 + len(epochs) // 12]},
            "scale": {"nice": False, "padding": 8},
        },
        "y": {
            "field": "value",
            "type": "quantitative",
            "axis": {"title": None, "tickCount": 4},
            "scale": {"zero": from_zero},
        },
        "color": {"field": "series", "sort": series, "scale": {"range": [ACCENT, OTHER]}, "legend": None},
        "strokeDash": {"field": "series", "sort": series, "scale": {"range": [[1, 0], [5, 4]]}, "legend": None},
    }
    shape = {"field": "series", "sort": series, "scale": {"range": ["circle", "square"]}, "legend": None}
    layers = [
        {"mark": {"type": "line", "strokeWidth": 2}, "encoding": encoding},
        {"mark": {"type": "point", "filled": True, "size": 45, "opacity": 1}, "encoding": {**encoding, "shape": shape}},
    ]
    text = "; ".join(f"{point['series']}, epoch {point['epoch']}: {point['value']:{form}}" for point in points)
    chart = render({"height": 150, "data": {"values": list(points)}, "layer": layers}, title, text)
    return replace(chart, series=tuple(series))


def draw_map(points: Sequence[Mapping[str, float]], marked: Sequence[Mapping[str, Any]], *, title: str) -> Chart:
    """Draws items as points in the plane; their size grows with their number of events.

    Args:
        points: `x`, `y` and `count` of each item.
        marked: `x`, `y` and `number` of the items with a number.
        title: the title.
    """
    axis = {"axis": None, "scale": {"zero": False, "nice": False, "padding": 12}}
    place = {name: {"field": name, "type": "quantitative", **axis} for name in ("x", "y")}
    size = {"field": "count", "type": "quantitative", "scale": {"range": [4, 90]}, "legend": None}
    layers = [
        {
            "data": {"values": list(points)},
            "mark": {"type": "point", "filled": True, "color": OTHER, "opacity": 0.45},
            "encoding": {**place, "size": size},
        },
        {
            "data": {"values": list(marked)},
            "mark": {"type": "point", "filled": True, "color": ACCENT, "size": 230, "opacity": 1},
            "encoding": place,
        },
        {
            "data": {"values": list(marked)},
            "mark": {
                "type": "text",
                "color": "var(--paper)",
                "fontSize": 11,
                "fontWeight": "bold",
                "baseline": "middle",
            },
            "encoding": {**place, "text": {"field": "number"}},
        },
    ]
    text = f"{len(points):,} items as points, of which {len(marked)} have the numbers of the list beside it."
    return render({"height": WIDTH, "layer": layers}, title, text)


def _interval(dot: Dot) -> str:
    return "" if dot.low is None else f" ({dot.low:.3f} to {dot.high:.3f})"
