"""Proposes points of a space from the trials so far, with Optuna."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import Any

from components.suggest.spaces import Dimension, Space

TPE, RANDOM = "tpe", "random"
SAMPLERS = (TPE, RANDOM)
NUM_RANDOM_TRIALS = 5  # trials, the first one included, before TPE has something to learn from
COMPLETE = "complete"  # state of a trial with a value
MISSING = (
    "The search needs the package optuna, which is not installed. Install the extra `components` of two-tower, or "
    "optuna 5 itself: pip install 'optuna>=5,<6'"
)


def propose(
    space: Space, trials: Sequence[Mapping[str, Any]], *, num_points: int, sampler: str, random_seed: int
) -> list[dict[str, Any]]:
    """Proposes points to try next.

    The points depend only on the arguments: a search that is interrupted and started again goes on with the same ones.
    TPE is that of Optuna, multivariate, with a constant liar for the points of one call: J. Bergstra et al.,
    "Algorithms for Hyper-Parameter Optimization", NIPS 2011.

    Args:
        space: the space.
        trials: the trials so far, failed ones too: `parameters`, `state` and, if complete, `value`, higher is better.
        num_points: number of points.
        sampler: one of SAMPLERS. TPE proposes at random until there are NUM_RANDOM_TRIALS trials.
        random_seed: random seed of the search.

    Returns:
        For each point its value for each parameter of the space.

    Raises:
        ModuleNotFoundError: Optuna is not installed.
    """
    if num_points == 0:
        return []
    check_installed()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # A stream of random numbers for each number of trials, so that the first ones need not be proposed again.
    seed = random_seed * 100_003 + len(trials)
    chosen: Any = (
        optuna.samplers.RandomSampler(seed=seed)
        if sampler == RANDOM
        else optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=NUM_RANDOM_TRIALS, multivariate=True, constant_liar=True
        )
    )
    study = optuna.create_study(direction="maximize", sampler=chosen)
    distributions = {name: _make_distribution(dimension) for name, dimension in space.items()}
    for trial in trials:
        values = {name: trial["parameters"].get(name) for name in space}
        if not all(_contains(space[name], value) for name, value in values.items()):
            continue  # the first trial may lie outside
        is_complete = trial["state"] == COMPLETE
        study.add_trial(
            optuna.trial.create_trial(
                params=values,
                distributions=distributions,
                value=trial["value"] if is_complete else None,
                state=optuna.trial.TrialState.COMPLETE if is_complete else optuna.trial.TrialState.FAIL,
            )
        )
    return [
        {name: _round(space[name], value) for name, value in study.ask(distributions).params.items()}
        for _ in range(num_points)
    ]


def check_installed() -> None:
    """Checks that Optuna is installed.

    Raises:
        ModuleNotFoundError: it is not; the message says what to install.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ModuleNotFoundError(MISSING)


def find_best(trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the trial with the highest value, the earliest of equal ones.

    Raises:
        RuntimeError: all trials have failed.
    """
    complete = [trial for trial in trials if trial["state"] == COMPLETE]
    if complete:
        return dict(max(complete, key=lambda trial: trial["value"]))
    errors: dict[str, int] = {}
    for trial in trials:
        errors[trial["error"]] = errors.get(trial["error"], 0) + 1
    listed = "; ".join(f"{count} x {error}" for error, count in sorted(errors.items(), key=lambda each: -each[1])[:3])
    raise RuntimeError(
        f"All {len(trials)} trials have failed: {listed or 'there was none'}. Try the parameters of the preset with "
        "`two-tower run` first. Then narrow the space, or give the trials more memory or less data"
    )


def make_trials(outcomes: Sequence[str], *, first_number: int) -> list[dict[str, Any]]:
    """Makes trials of their outcomes, which are JSON objects; their numbers start at `first_number`."""
    return [{"number": number, **json.loads(outcome)} for number, outcome in enumerate(outcomes, first_number)]


def _make_distribution(dimension: Dimension) -> Any:
    from optuna import distributions

    if dimension.choices:
        return distributions.CategoricalDistribution(dimension.choices)
    if isinstance(dimension.low, int):
        step = 1 if dimension.step is None else int(dimension.step)
        return distributions.IntDistribution(dimension.low, int(dimension.high), log=dimension.log, step=step)
    return distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _round(dimension: Dimension, value: Any) -> Any:
    """Rounds a float to six digits, within the bounds: what is shown is what was tried."""
    if type(value) is not float or dimension.choices:
        return value
    return min(max(float(f"{value:.6g}"), dimension.low), dimension.high)


def _contains(dimension: Dimension, value: Any) -> bool:
    if dimension.choices:
        return any(type(value) is type(each) and value == each for each in dimension.choices)
    if type(value) not in (int, float) or not dimension.low <= value <= dimension.high:
        return False
    steps = (value - dimension.low) / (dimension.step or 1)
    return (dimension.step is None and type(dimension.low) is float) or abs(steps - round(steps)) < 1e-6
