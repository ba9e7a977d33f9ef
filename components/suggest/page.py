"""The trials of a search as one HTML page, which needs no other file and no network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.suggest.chart import draw_trials, show
from components.suggest.search import COMPLETE, find_best
from components.suggest.spaces import Space

FOLDER = Path(__file__).parent / "templates"


def make_page(space: Space, trials: Sequence[Mapping[str, Any]], *, final: Mapping[str, Any] | None = None) -> str:
    """Returns the page; every value in it is text, whatever it contains.

    Args:
        space: the space.
        trials: the trials so far.
        final: `caption`, `titles`, `rows` and `verdict` of the table of the results on test; None for no table.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    is_any_complete = any(trial["state"] == COMPLETE for trial in trials)
    return environment.get_template("search.html.j2").render(
        space=list(space),
        trials=sort_trials(trials),
        num_failed=sum(trial["state"] != COMPLETE for trial in trials),
        best=find_best(trials) if is_any_complete else None,
        chart=draw_trials(space, trials) if is_any_complete else None,
        final=final,
        show=show,
    )


def sort_trials(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns the trials with the best first and the failed ones last."""
    return sorted(trials, key=lambda trial: (trial["state"] != COMPLETE, -(trial.get("value") or 0.0)))
