"""What a search prints and writes at its end: the trials, and the best one beside the preset on test."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.core.presentation import count_of
from components.suggest.chart import show
from components.suggest.page import make_page, sort_trials
from components.suggest.search import COMPLETE
from components.suggest.spaces import Space
from pipeline.comparison import compare, read_run
from pipeline.comparison_page import describe_difference
from pipeline.report import escape

PAGE_NAME = "search.html"
METRICS = ("recall@20", "mrr@20")  # those of the objective
MAX_ROWS = 10  # of the table of trials on the terminal


@dataclass(frozen=True, kw_only=True)
class Final:
    """The results on test.

    Attributes:
        preset: name of the preset.
        values: each metric for the preset and, if it is another one, for the best trial; by name.
        intervals: 95% interval of the difference, the best trial's minus the preset's; none if the best one is the
            preset.
        num_targets: number of targets.
    """

    preset: str
    values: Mapping[str, Sequence[float]]
    intervals: Mapping[str, Sequence[float] | None]
    num_targets: int

    @property
    def verdict(self) -> str:
        """Says in one sentence whether the search was worth it."""
        if not self.intervals:
            return f"No trial was better on the validation sessions than the preset {self.preset}."
        better = [name for name in METRICS if (gap := self.intervals.get(name)) and gap[0] > 0]
        worse = [name for name in METRICS if (gap := self.intervals.get(name)) and gap[1] < 0]
        if better and worse:
            return f"The best trial is better than the preset {self.preset} in {better[0]} and worse in {worse[0]}."
        if better or worse:
            state = "better" if better else "worse"
            return f"The best trial is {state} than the preset {self.preset} in {' and '.join(better or worse)}."
        return f"The best trial is not clearly better or worse on the test sessions than the preset {self.preset}."

    @property
    def titles(self) -> list[str]:
        """The titles of the columns of `rows`, after the first one."""
        names = [f"preset {self.preset}", "best trial", "difference (95% interval)"]
        return names if self.intervals else names[:1]

    @property
    def rows(self) -> list[list[str]]:
        """A row per metric: its name, its value for each run and, with two, the difference."""
        rows = []
        for name, values in self.values.items():
            row = [name, *(f"{value:.4f}" for value in values)]
            if self.intervals:
                row.append(describe_difference(values[1], values[0], self.intervals[name]))
            rows.append(row)
        return rows

    @property
    def caption(self) -> str:
        """Says what the table shows."""
        return f"Trained with refit; {count_of(self.num_targets, 'target')} of the test sessions"

    def describe(self) -> dict[str, Any]:
        """Returns all of it for JSON."""
        return {**vars(self), "verdict": self.verdict}


def compare_final(preset_dir: Path, best_dir: Path | None, preset: str) -> Final:
    """Compares the two runs on test, target by target.

    Args:
        preset_dir: the run of the preset.
        best_dir: the run of the best trial; None if that is the preset.
        preset: name of the preset.
    """
    first = read_run(preset_dir)
    num_targets = first.metrics["num_targets"]
    if best_dir is None:
        model = first.metrics["model"]
        values = {name: [model[name]] for name in model if name in METRICS}
        return Final(preset=preset, values=values, intervals={}, num_targets=num_targets)
    compared = compare([first, read_run(best_dir)])
    return Final(
        preset=preset,
        values=compared.values,
        intervals={name: gaps[0] for name, gaps in compared.intervals.items()},
        num_targets=num_targets,
    )


def write_page(folder: Path, space: Space, trials: Sequence[Mapping[str, Any]], final: Final | None = None) -> None:
    """Writes the page about the search."""
    shown = None
    if final is not None:
        shown = {name: getattr(final, name) for name in ("caption", "titles", "rows", "verdict")}
    (folder / PAGE_NAME).write_text(make_page(space, trials, final=shown), encoding="utf-8")


def print_results(
    space: Space, trials: Sequence[Mapping[str, Any]], final: Final, folder: Path, console: Console
) -> None:
    """Prints the best trials, the results on test, and what to do next."""
    console.print(make_trials_table(space, trials))
    table = Table("", *final.titles, title=final.caption, title_justify="left")
    for row in final.rows:
        table.add_row(*map(Text, row))
    console.print(table)
    lines = [
        final.verdict,
        f"The trials are in {folder / 'trials.json'}; see {folder / PAGE_NAME}.",
        f"Train with the best:  two-tower run --config {shlex.quote(str(folder / 'config.yaml'))} --output OUTPUT",
    ]
    for line in lines:
        console.print(Text(escape(line)), soft_wrap=True)


def make_trials_table(space: Space, trials: Sequence[Mapping[str, Any]]) -> Table:
    """Makes the table of the best trials: the objective on valid, and what differs between them."""
    failed = sum(trial["state"] != COMPLETE for trial in trials)
    shown = sort_trials(trials)[:MAX_ROWS]
    more = f", the best {len(shown)}" if len(shown) < len(trials) else ""
    title = (
        f"{len(trials)} trials{more}{f', {failed} failed' if failed else ''}; objective = recall@20 + MRR@20 on valid"
    )
    table = Table("trial", "objective", *space, title=title, title_justify="left")
    for trial in shown:
        objective = f"{trial['value']:.4f}" if trial["state"] == COMPLETE else "failed"
        name = f"{trial['number']}{' (preset)' if trial['number'] == 1 else ''}"
        table.add_row(name, objective, *(Text(escape(show(trial["parameters"][each]))) for each in space))
    return table
