"""Trials so far -> points to try next, or the best one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.suggest.page import make_page
from components.suggest.parameters import SuggestParameters
from components.suggest.search import COMPLETE, find_best, make_trials, propose
from components.suggest.spaces import parse_space


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What `suggest` has decided.

    Attributes:
        points: the points to try next, as JSON objects.
        best: the best trial so far; None if none is complete.
        num_trials: number of trials so far.
    """

    points: list[str]
    best: dict[str, Any] | None
    num_trials: int


def suggest(
    earlier_path: Path | None,
    outcomes: Sequence[str],
    trials_path: Path,
    page_path: Path,
    parameters: SuggestParameters,
) -> Suggestion:
    """Adds the outcomes of the last round to the trials, and proposes the points of the next one.

    The first point of the first round is empty: the parameters that the search starts from.

    Args:
        earlier_path: the trials before the last round; None in the first and the second round.
        outcomes: the outcomes of the last round, as JSON objects with their points.
        trials_path: JSON file to write all trials to.
        page_path: HTML file to write the page about them to.
        parameters: the parameters; `trials_per_round` is 0 after the last round.

    Returns:
        The points of the next round and the best trial.

    Raises:
        RuntimeError: the last round is over and all trials have failed, or Optuna is not installed.
    """
    space = parse_space(parameters.search_space)
    trials: list[dict[str, Any]] = json.loads(earlier_path.read_text()) if earlier_path else []
    trials += make_trials(outcomes, first_number=len(trials) + 1)
    for path, text in ((trials_path, json.dumps(trials, indent=2)), (page_path, make_page(space, trials))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    is_over = parameters.trials_per_round == 0
    best = find_best(trials) if is_over or any(trial["state"] == COMPLETE for trial in trials) else None
    start = [] if trials or is_over else ["{}"]
    proposed = propose(
        space,
        trials,
        num_points=parameters.trials_per_round - len(start),
        sampler=parameters.search_sampler,
        random_seed=parameters.random_seed,
    )
    return Suggestion(points=[*start, *map(json.dumps, proposed)], best=best, num_trials=len(trials))
