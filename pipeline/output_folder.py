"""The folder in which local runs store their artifacts.

    OUTPUT/runs/<id>/...            one run
    OUTPUT/current -> runs/<id>     the newest run that succeeded
    OUTPUT/metrics.json -> current/metrics.json, and so on for every artifact

Each run has its own folder, and an atomic rename of `current` publishes it: a kill at any moment leaves all artifacts
of the old run or all of the new one. The previous run is kept until the next one has succeeded, for readers that still
have it open. All links are relative, so the folder can be moved.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from components.core.file_locks import Lock, lock

# The stable names of a run's artifacts, by their names in the pipelines: those of every run, and those of a run with a
# gate. A run that publishes nothing has no verification and no manifest.
OUTPUT_NAMES = {
    "events": "events",
    "vocabulary": "vocabulary.parquet",
    "model": "model",
    "tensorboard": "tensorboard",
    "metrics": "metrics.json",
    "ranks": "ranks.parquet",
    "examples": "examples.json",
    "index": "index",
    "embeddings": "embeddings.parquet",
    "index_check": "index_check.json",
    "report": "report.html",
}
GATE_NAMES = {
    "verdict": "verdict.json",
    "gate_report": "gate_report.md",
    "verification": "verification.json",
    "manifest": "manifest.json",
    "notification": "notification.json",
}
RECORD_NAME = "run.json"
LOG_NAME = "run.log"  # everything that KFP and the tasks of the run have printed
CONFIG_NAME = "config.yaml"  # the values of all parameters, for `run --config`
CURRENT = "current"
RUNS = "runs"
CHECKPOINTS = ".checkpoints"
UNUSABLE = "?\\"  # DuckDB ends a path at the first and reads the second as a slash

_RUN_ID = re.compile(r"\d{8}-\d{6}-\d{6}")  # only folders with such names are ever removed

logger = logging.getLogger(__name__)


class OutputFolderError(RuntimeError):
    """The output folder cannot be used."""


class OutputFolder:
    """An output folder. As a context manager, it locks the folder against other runs.

    Args:
        path: the folder; created if it does not exist.

    Raises:
        OutputFolderError: on entry, if the folder is not writable, does not support symbolic links, or another run
            writes to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        if set(str(self.path)) & set(UNUSABLE):
            raise OutputFolderError(
                f"The path {self.path} contains ? or \\, which DuckDB cannot read and write. Choose another folder."
            )
        self._lock: Lock | None = None

    def __enter__(self) -> Self:
        with self._explained():
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.path / ".lock", exclusive=True, wait=False, create=True)
        if self._lock is None:
            holder = (self.path / ".lock").read_text().strip()
            raise OutputFolderError(
                f"Another run (process {holder}) writes to {self.path}. Wait until it ends or choose another folder."
            )
        if not self._lock.is_real:
            logger.warning(
                "The file system of %s does not support locks. Do not start two runs in it at once.", self.path
            )
        try:
            with self._explained():
                (self.path / ".lock").write_text(f"{os.getpid()}\n")
                self._set_link(".probe", CURRENT)
                (self.path / ".probe").unlink()
        except OutputFolderError:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release()

    @property
    def checkpoint_root(self) -> Path:
        """The folder of checkpoints; each training has a subfolder."""
        return self.path / CHECKPOINTS

    @property
    def current(self) -> Path | None:
        """The folder of the published run; None if no run has been published."""
        link = self.path / CURRENT
        run_dir = self.path / link.readlink() if link.is_symlink() else link
        return run_dir if run_dir.is_dir() else None

    def check_shows_no_run(self, purpose: str) -> None:
        """Refuses a folder with runs, whose artifacts would be written over.

        Args:
            purpose: what the folder is wanted for.

        Raises:
            OutputFolderError: the folder shows a run.
        """
        if self.current is not None:
            raise OutputFolderError(f"{self.path} contains runs of a pipeline. Choose another folder for {purpose}.")

    def begin(self, names: Iterable[str] = (), *, can_continue: Callable[[Path], bool] = lambda run_dir: False) -> Path:
        """Creates the folder of a new run and removes those of failed and killed runs.

        Args:
            names: names of the run's artifacts that are not in OUTPUT_NAMES.
            can_continue: whether the new run can go on in the folder of a run that has failed or was killed. The newest
                such folder is returned instead of a new one.

        Raises:
            OutputFolderError: another file or folder has the name of a link.
        """
        with self._explained():
            links = {CURRENT, *OUTPUT_NAMES.values(), RECORD_NAME, LOG_NAME, CONFIG_NAME, *names}
            self._check_own(links)
            (self.path / RUNS).mkdir(exist_ok=True)
            unfinished = (each for each in self._list_unfinished() if can_continue(each))
            run_dir = next(unfinished, self.path / RUNS / _make_id())
            self._remove_old_runs(run_dir)
            run_dir.mkdir(exist_ok=True)
        return run_dir

    def publish(self, run_dir: Path, record: Mapping[str, Any]) -> None:
        """Publishes a run that has succeeded: all its artifacts in one atomic step.

        Args:
            run_dir: the run's folder; each artifact has the same name in it as in the output folder.
            record: the contents of run.json, in addition to the ids of this and the previous run.
        """
        previous = self.current
        document = {"id": run_dir.name, **record, "previous": previous.name if previous else None}
        (run_dir / RECORD_NAME).write_text(json.dumps(document, indent=2))
        # A link to an artifact that the previous run lacks dangles until `current` is switched.
        for path in sorted(run_dir.iterdir()):
            self._set_link(path.name, f"{CURRENT}/{path.name}")
        self._set_link(CURRENT, f"{RUNS}/{run_dir.name}")
        self._remove_old_runs()
        for link in list(self.path.iterdir()):
            if link.is_symlink() and link.readlink() == Path(CURRENT, link.name) and not link.exists():
                link.unlink()

    def describe(self) -> str:
        """Returns a sentence that says which run the folder shows."""
        if self.current is None:
            return f"{self.path} shows no run, because none has succeeded yet."
        return f"{self.path} still shows the run {self.current.name}."

    def _set_link(self, name: str, target: str) -> None:
        link, draft = self.path / name, self.path / f".{name}.link"
        if link.is_symlink() and str(link.readlink()) == target:
            return
        draft.unlink(missing_ok=True)
        draft.symlink_to(target)
        draft.replace(link)

    def _check_own(self, names: Iterable[str]) -> None:
        """Refuses whatever stands in the place of links of runs: it belongs to someone else."""
        found = sorted(name for name in names if os.path.lexists(self.path / name) and not self._is_own(name))
        if found:
            verb = "is not a link" if len(found) == 1 else "are not links"
            raise OutputFolderError(
                f"In {self.path}, {', '.join(found)} {verb} to a run, so a run would replace what is there. "
                "Move it or choose another folder."
            )

    def _is_own(self, name: str) -> bool:
        link = self.path / name
        return link.is_symlink() and link.readlink().parent == Path(RUNS if name == CURRENT else CURRENT)

    def _list_unfinished(self) -> list[Path]:
        """Lists the folders of the runs that were begun after the published one, the newest first."""
        newest = self.current.name if self.current is not None else ""
        runs = (each for each in (self.path / RUNS).iterdir() if _RUN_ID.fullmatch(each.name) and each.name > newest)
        return sorted(runs, reverse=True)

    def _remove_old_runs(self, begun: Path | None = None) -> None:
        """Removes all runs except `begun`, the current and the previous one and those that a reader has locked."""
        kept = {begun.name} if begun is not None else set()
        if self.current is not None:
            kept.add(self.current.name)
            with suppress(OSError, ValueError, LookupError):  # someone has damaged the record
                kept.add(json.loads((self.current / RECORD_NAME).read_text())["previous"])
        for run_dir in (self.path / RUNS).iterdir():
            if run_dir.name in kept or not _RUN_ID.fullmatch(run_dir.name):
                continue
            held = lock(run_dir, exclusive=True, wait=False)
            if held is None:
                continue
            try:
                shutil.rmtree(run_dir)
            except OSError as error:
                logger.warning("Could not remove the old run %s: %s", run_dir, error)
            finally:
                held.release()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputFolderError(f"The output folder {self.path} cannot be used: {error}") from error


def check_outside(folder: Path, logs: Iterable[str]) -> None:
    """Refuses an output folder in the folder of a log: a log has all files below its folder, also those of this run.

    Args:
        folder: the output folder, which need not exist.
        logs: local paths of logs.

    Raises:
        OutputFolderError: the log would have the files of the output folder.
    """
    for log in map(Path, logs):
        if not log.is_dir() or not folder.resolve().is_relative_to(log.resolve()):
            continue
        if not any(part.startswith((".", "_")) for part in folder.resolve().relative_to(log.resolve()).parts):
            raise OutputFolderError(
                f"{folder} lies in {log}, so the files that are written there would be read as a part of the log. "
                "Choose an output folder outside of it."
            )


def _make_id() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
