"""The command that searches for training parameters on this machine."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from components.image import SOURCE_VERSION
from components.suggest.search import RANDOM, TPE, check_installed, find_best
from components.suggest.spaces import SPACES
from pipeline.configuration import effective_values, make_config
from pipeline.display import Detail, Display
from pipeline.exit_codes import ExitCode
from pipeline.output_folder import CONFIG_NAME, OutputFolder, check_outside
from pipeline.run_command import run_command, run_planned
from pipeline.run_options import LocalRun, make_local_run
from pipeline.search import LOGS, Plan, Search
from pipeline.search_results import Final, compare_final, print_results, write_page
from pipeline.search_space import read_space
from pipeline.summary import open_console
from pipeline.task_keys import hash_files
from pipeline.tasks import Tasks

# The options of `run` that say what is trained on which data, and what is shown.
SHARED = (
    "preset", "train_path", "valid_path", "test_path", "log_path", "layout", "as_of", "items_path", "config",
    "settings", "quiet", "as_json",
)  # fmt: skip
PRESET_RUN, BEST_RUN = "preset", "best"


@click.command("tune", params=[option for option in run_command.params if option.name in SHARED])
@click.option(
    "--space",
    "space_location",
    default="default",
    show_default=True,
    help=f"What to search: {', '.join(SPACES)} or a YAML file. Each parameter has {{low, high}}, with log: true or a "
    "step, or {choices: [...]}.",
)
@click.option(
    "--trials", "num_trials", type=click.IntRange(min=2), default=12, show_default=True, help="Number of trials."
)
@click.option("--random", "is_random", is_flag=True, help="Choose all points at random, as a control.")
@click.option("--search-seed", type=int, default=42, show_default=True, help="Random seed of the search.")
@click.option(
    "--output",
    "output_dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("tuned"),
    show_default=True,
    help="Output folder of the search.",
)
def tune_command(
    preset: str,
    layout: str | None,
    config: Path | None,
    settings: tuple[str, ...],
    space_location: str,
    num_trials: int,
    is_random: bool,
    search_seed: int,
    output_dir: Path,
    quiet: bool,
    as_json: bool,
    **options: str | None,
) -> ExitCode:
    """Searches for training parameters: trials on the validation sessions, then one test of the best and the preset.

    Each trial trains without the test sessions; its objective is recall@20 plus MRR@20 on the validation sessions in
    the best epoch. The first trial has the parameters of the preset. The best trial and the preset are then trained
    with refit and evaluated once each. A search that was interrupted goes on when the same command is started again.

    Exit codes: 0 success, 1 invalid input, 2 usage error, 3 a step or all trials failed, 130 interrupted.
    """
    try:
        check_installed()
    except ModuleNotFoundError as error:
        raise ValueError(str(error)) from error
    planned = make_local_run(options, settings, preset, Tasks(), layout=layout or "", config=config)
    if "refit" in planned.arguments and any(setting.startswith("refit=") for setting in settings):
        raise click.UsageError("The search sets refit itself: false in trials, true for the test. Omit --set refit=...")
    if planned.arguments.get("serving_uri"):
        raise click.UsageError("A search publishes nothing. Expected no serving_uri")
    space = read_space(space_location, planned.arguments)
    check_outside(output_dir, planned.find_local_logs(planned.arguments).values())
    display = Display(detail=Detail.QUIET if quiet else Detail.STEPS)
    with OutputFolder(output_dir) as folder:
        folder.check_shows_no_run("a search")
        planned = _with_sample_log(planned, folder.path)
        plan = Plan(
            run=planned,
            space=space,
            sampler=RANDOM if is_random else TPE,
            random_seed=search_seed,
            source_version=SOURCE_VERSION,
            data=hash_files(planned.find_local_logs(planned.arguments)),
        )
        search = Search(plan, folder.path, display)
        try:
            search.run(num_trials)
            write_page(folder.path, space, search.trials)
            final = _test(plan, find_best(search.trials), folder.path, display)
        except KeyboardInterrupt:
            done = f"{len(search.trials)} of {num_trials} trials have ended"
            click.echo(f"The search was interrupted; {done}. Start it again to go on from there.", err=True)
            raise
        write_page(folder.path, space, search.trials, final)
        inputs = planned.pipeline.component_spec.inputs
        best = {**planned.arguments, **find_best(search.trials)["point"], "refit": True}
        (folder.path / CONFIG_NAME).write_text(make_config(inputs, best, preset=planned.preset))
    if as_json:
        document = {"output": str(output_dir), "best": find_best(search.trials), "test": final.describe()}
        click.echo(json.dumps(document, indent=2))
    else:
        print_results(space, search.trials, final, output_dir, open_console())
    return ExitCode.DONE


def _with_sample_log(planned: LocalRun, folder: Path) -> LocalRun:
    """Returns the run with the paths of a generated log, if no log was given."""
    if not planned.needs_sample_log:
        return planned
    from pipeline.sample_log import SampleLog

    paths = {f"{split}_path": str(path) for split, path in SampleLog().write(folder / "sample_log").items()}
    return replace(planned, arguments={**planned.arguments, **paths}, needs_sample_log=False)


def _test(plan: Plan, best: dict[str, Any], folder: Path, display: Display) -> Final:
    """Trains the preset and the best trial with refit, and compares them on test. What is done already is kept."""
    runs = {PRESET_RUN: {}, **({BEST_RUN: best["point"]} if best["point"] else {})}
    for name, point in runs.items():
        run = replace(plan.run, arguments={**plan.run.arguments, **point, "refit": True})
        if not _is_done(run, plan, folder / name):
            if display.detail > Detail.QUIET:
                what = "preset" if name == PRESET_RUN else f"best trial, {best['number']},"
                display.console.print(f"The {what} with refit, evaluated on test:")
            with OutputFolder(folder / name) as output:
                run_planned(run, output, Display(display.console, detail=display.detail))
    return compare_final(folder / PRESET_RUN, folder / BEST_RUN if best["point"] else None, plan.run.preset)


def _is_done(run: LocalRun, plan: Plan, folder: Path) -> bool:
    """Returns whether a folder shows a run with the same parameters, data and sources."""
    try:
        found = json.loads((folder / "metrics.json").read_text())["run"]
    except (OSError, ValueError, KeyError):
        return False
    wanted = json.loads(json.dumps(effective_values(run.pipeline.component_spec.inputs, run.arguments)))
    same_parameters = _without_logs(found["parameters"]) == _without_logs(wanted)
    hashes = {name: each["sha256"] for name, each in plan.data.items()}
    same_data = {name: each["sha256"] for name, each in found["data"].items()} == hashes
    return same_parameters and same_data and bool(found["source_version"] == plan.source_version)


def _without_logs(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters without the paths of the logs, whose contents are compared."""
    return {name: value for name, value in parameters.items() if name not in LOGS}
