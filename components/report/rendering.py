"""Renders the page from its template. Every value is text unless the template itself writes the tag."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from components.core.presentation import show_time

FOLDER = Path(__file__).parent / "templates"


def resolve(document: Any, pointer: str) -> Any:
    """Returns the value at a path such as `/model/recall@20` in a parsed JSON document.

    Raises:
        KeyError: there is no such value.
    """
    for key in pointer.removeprefix("/").split("/"):
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def make_number(document: Mapping[str, Any]) -> Callable[..., Markup]:
    """Returns the function by which the template shows a value of metrics.json.

    The element names the value's path, and its `value` is the number as the document has it.
    """

    def number(pointer: str, form: str = ".3f") -> Markup:
        value = resolve(document, pointer)
        text = format(value, form).replace("-", "\N{MINUS SIGN}")
        return Markup('<data data-path="{}" value="{}">{}</data>').format(pointer, repr(value), text)

    return number


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page.

    Attributes:
        name: name of its template and of its anchor.
        short: what the table of contents says.
        title: the heading.
        body: the HTML; None if it could not be made.
    """

    name: str
    short: str
    title: str
    body: Markup | None


class Page:
    """Renders the sections and the page around them.

    Args:
        metrics: the contents of metrics.json, from which the templates take numbers.
    """

    def __init__(self, metrics: Mapping[str, Any]) -> None:
        self.metrics = metrics
        self.environment = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals.update(number=make_number(metrics))
        self.environment.filters.update(time=functools.partial(show_time, timespec="minutes"))

    def render_section(self, name: str, values: Mapping[str, Any]) -> Markup:
        """Renders one section, whose template sees the values as `section`.

        Raises:
            jinja2.UndefinedError: the template asks for a value that is not there.
            KeyError: metrics.json lacks a number that the template shows.
        """
        template = self.environment.get_template(f"{name}.html.j2")
        return Markup(template.render(section=values, metrics=self.metrics))  # noqa: S704 (escaped by the template)

    def render(self, sections: Sequence[Section], problems: Sequence[str]) -> str:
        """Renders the page.

        Args:
            sections: the sections, in their order.
            problems: what could not be shown, and why.
        """
        style = Markup((FOLDER / "report.css").read_text(encoding="utf-8"))  # noqa: S704 (a file of this project)
        template = self.environment.get_template("report.html.j2")
        return template.render(sections=sections, problems=problems, metrics=self.metrics, style=style)
