"""A search on this machine: events and vocabulary once, then one trial after the other, each in a process of its own.

OUTPUT/trials.json                       what is searched, and every trial that has ended
OUTPUT/events, OUTPUT/vocabulary.parquet what the trials read
OUTPUT/checkpoints                       of the trial in progress
OUTPUT/search.log                        everything that the steps and the trials print
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.core.events import SPLITS, split_path
from components.core.parameters import make_parameters
from components.core.presentation import count_of
from components.core.progress import SECONDS_VARIABLE
from components.suggest.search import COMPLETE, find_best, propose
from components.suggest.spaces import Space
from components.train.attempt import run_trial
from components.train.parameters import TrainParameters
from pipeline.display import Display
from pipeline.graph_parameters import COMPONENTS
from pipeline.kfp_runner import RunError
from pipeline.run_options import LocalRun
from pipeline.task_output import TaskOutput
from pipeline.validation import get_dataclass, get_defaults

TRIALS_NAME = "trials.json"
LOG_NAME = "search.log"
CHECKPOINTS = "checkpoints"
LOGS = ("train_path", "valid_path", "test_path", "log_path", "previous_events")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched.

    Attributes:
        run: the pipeline, and the parameters that all trials have.
        space: the space.
        sampler: how points are chosen.
        random_seed: random seed of the search.
        source_version: version of the sources.
        data: path, bytes and hash of each log, by its parameter.
    """

    run: LocalRun
    space: Space
    sampler: str
    random_seed: int
    source_version: str
    data: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Returns everything that decides about the trials, as JSON has it."""
        logs = {name: value for name, value in self.run.arguments.items() if name in LOGS}
        arguments = {name: value for name, value in self.run.arguments.items() if name not in (*LOGS, "items_path")}
        described = {
            "sampler": self.sampler,
            "random_seed": self.random_seed,
            "source_version": self.source_version,
            "data": {name: self.data[name]["sha256"] if name in self.data else value for name, value in logs.items()},
            "preset": self.run.preset,
            "parameters": arguments,
            "space": {name: dimension.to_dict() for name, dimension in self.space.items()},
        }
        return json.loads(json.dumps(described))  # type: ignore[no-any-return]

    @property
    def train_values(self) -> dict[str, Any]:
        """The training parameters of the first trial."""
        return {**TrainParameters().to_dict(), **_select(self.run.arguments, TrainParameters().to_dict())}


class Search:
    """A search in an output folder. Trials that have ended are not repeated.

    Args:
        plan: what is searched.
        folder: the output folder; it is locked by the caller.
        display: shows the progress.

    Raises:
        ValueError: the folder holds another search.
    """

    def __init__(self, plan: Plan, folder: Path, display: Display) -> None:
        self.plan = plan
        self.folder = folder
        self.display = display
        self.events_dir, self.vocabulary_path = folder / "events", folder / "vocabulary.parquet"
        self.trials: list[dict[str, Any]] = self._read()

    def _read(self) -> list[dict[str, Any]]:
        path = self.folder / TRIALS_NAME
        if not path.is_file():
            return []
        try:
            document = json.loads(path.read_text())
            found, trials = document["search"], list(document["trials"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"Expected {path} to hold the trials of a search. Received: {error!r}. Choose another folder"
            ) from error
        wanted = self.plan.describe()
        differing = [name for name in wanted if wanted[name] != found.get(name)]
        if differing:
            raise ValueError(
                f"Expected the search that {self.folder} holds, with the same data, space and parameters. "
                f"Received: another {', '.join(differing)}. Choose another folder"
            )
        return trials

    def run(self, num_trials: int) -> None:
        """Runs trials until there are `num_trials`.

        Raises:
            RunError: the log was refused, the disk is full, or all trials have failed.
        """
        reader, *_ = COMPONENTS[self.plan.run.pipeline.name.removeprefix("two-tower-")]
        names = [f"trial {number}" for number in range(1, num_trials + 1)]
        self.display.plan([reader.name, "vocabulary", *names])
        with (self.folder / LOG_NAME).open("a", encoding="utf-8", errors="backslashreplace") as log:
            output = TaskOutput(log, self.display)
            if self._is_prepared():
                for name in (reader.name, "vocabulary", *names[: len(self.trials)]):
                    self.display.reuse(name)
            else:
                self._prepare(reader, output)
            for name in names[len(self.trials) :]:
                self._try_next(name, output)
        shutil.rmtree(self.folder / CHECKPOINTS, ignore_errors=True)
        try:
            find_best(self.trials)
        except RuntimeError as error:
            raise RunError(f"{error}. The log is {self.folder / LOG_NAME}") from error

    def _is_prepared(self) -> bool:
        paths = [self.folder / TRIALS_NAME, self.vocabulary_path]
        paths += [split_path(self.events_dir, split) for split in SPLITS[:2]]
        return all(path.is_file() for path in paths)

    def _prepare(self, reader: Any, output: TaskOutput) -> None:
        """Makes the events and the vocabulary of train."""
        arguments = {**get_defaults(reader), **self.plan.run.arguments}
        with self._step(reader.name, output) as write:
            if reader.name == "sessionize":
                from components.sessionize.step import sessionize

                report = sessionize(arguments["log_path"], self.events_dir, _make(reader, arguments))
            else:
                from components.ingest.step import ingest

                sources = {split: arguments[f"{split}_path"] for split in SPLITS}
                report = ingest(sources, self.events_dir, _make(reader, arguments))
            write(f"[result] {report.describe()}\n")
        with self._step("vocabulary", output) as write:
            from components.vocabulary.parameters import VocabularyParameters
            from components.vocabulary.step import make_vocabulary

            min_item_count = arguments.get("min_item_count", VocabularyParameters.min_item_count)
            made = make_vocabulary(
                self.events_dir, self.vocabulary_path, min_item_count=min_item_count, include_valid=False
            )
            write(f"[result] {count_of(made.num_items, 'item')}\n")
            self._write()

    def _try_next(self, name: str, output: TaskOutput) -> None:
        """Runs the next trial and notes its outcome. The first one has the parameters that the search starts from."""
        number = len(self.trials) + 1
        point: dict[str, Any] = {}
        if self.trials:
            (point,) = propose(
                self.plan.space,
                self.trials,
                num_points=1,
                sampler=self.plan.sampler,
                random_seed=self.plan.random_seed,
            )
        with self._step(name, output) as write:
            outcome = run_trial(
                self.events_dir,
                self.vocabulary_path,
                {**self.plan.train_values, **point},
                checkpoint_root=self.folder / CHECKPOINTS,
                environment={SECONDS_VARIABLE: f"{self.display.task_seconds:g}"},
                write=write,
            )
            if outcome["state"] != COMPLETE:
                write(f"[result] failed: {outcome['error']}\n")
            self.trials.append({"number": number, "point": point, **outcome})
            self._write()

    def _write(self) -> None:
        document = {"search": self.plan.describe(), "trials": self.trials}
        draft = self.folder / f".{TRIALS_NAME}"
        draft.write_text(json.dumps(document, indent=2))
        draft.replace(self.folder / TRIALS_NAME)

    @contextlib.contextmanager
    def _step(self, name: str, output: TaskOutput) -> Iterator[Callable[[str], object]]:
        """Shows a step; everything that it prints goes to the log.

        Raises:
            RunError: the step has failed; the message says what to do.
        """
        self.display.start(name)
        try:
            with contextlib.redirect_stdout(output):
                yield output.write
        except (ValueError, OSError, MemoryError) as error:
            self.display.finish(name, succeeded=False)
            raise RunError(
                f"{type(error).__name__}: {error}\nThis was the step {name}. Correct what the first line names, and "
                "start the same command again; trials that have ended are not repeated.\n"
                f"The log is {self.folder / LOG_NAME}.",
                task=name,
            ) from error
        except BaseException:
            self.display.close()
            raise
        self.display.finish(name, succeeded=True)


def _make(component: Any, arguments: Mapping[str, Any]) -> Any:
    return make_parameters(get_dataclass(component.name), arguments)


def _select(values: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}
