"""Charts as inline SVG, drawn by Vega-Lite when a page is made.

Colours are CSS variables of the page, so that one picture serves light and dark. Each chart has a text that says what
it shows.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import vl_convert
from markupsafe import Markup, escape

VEGA_LITE = "5.21"
WIDTH = 350  # in CSS pixels; fits a phone of 390
ACCENT, OTHER, INK, MUTED, LINE = (f"var(--{name})" for name in ("accent", "other", "ink", "muted", "line"))

CONFIG: dict[str, Any] = {
    "aria": False,  # the picture as a whole has a text
    "font": "system-ui, sans-serif",
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 12,
        "labelLimit": 170,
        "gridColor": LINE,
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "labelOverlap": "greedy",
        "labelSeparation": 10,
    },
}


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture.

    Attributes:
        svg: the SVG element.
        title: what the reader sees above it.
        text: what it shows, for those who do not see it.
        series: names of its lines, in the order of their styles; empty for other charts.
    """

    svg: Markup
    title: str
    text: str
    series: tuple[str, ...] = ()


def render(spec: Mapping[str, Any], title: str, text: str) -> Chart:
    """Draws a Vega-Lite specification, in the style of CONFIG and WIDTH pixels wide.

    Args:
        spec: the specification, without width, padding and configuration.
        title: the title.
        text: what it shows.

    Raises:
        RuntimeError: vl-convert returns no SVG element with a size.
        ValueError: the specification is none.
    """
    full = {"width": WIDTH, "autosize": {"type": "fit-x", "contains": "padding"}, "padding": 2, **spec}
    svg = vl_convert.vegalite_to_svg({**full, "config": CONFIG}, vl_version=VEGA_LITE, allowed_base_urls=[])
    head = re.match(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)" viewBox="([^"]*)">', svg)
    if head is None:
        raise RuntimeError(f"Expected an SVG element with a size from vl-convert. Received: {svg[:200]}")
    width, height, box = head.groups()
    opened = (
        f'<svg role="img" aria-label="{escape(f"{title}. {text}")}" width="{width}" height="{height}" viewBox="{box}">'
    )
    # Two decimals are a hundredth of a pixel. The texts between the tags keep all of theirs.
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d{2})\d+", r"\1", tag[0]), svg[head.end() :])
    return Chart(svg=Markup(opened + body), title=title, text=text)  # noqa: S704 (made by vl-convert, which escapes)
