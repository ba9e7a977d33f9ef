"""The attempts of a run: what one that failed or was killed leaves in the folder, and what the next one takes over."""

import json
import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.kfp_runner import CACHE

TASKS = "tasks"  # KFP's pipeline root in the folder of a run
KEYS = "keys.json"


class Attempts:
    """Decides whether a run goes on in the folder of an earlier one.

    Args:
        keys: keys of the tasks of the new run, by their names.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        self.keys = keys

    def can_continue(self, run_dir: Path) -> bool:
        """Whether the folder belongs to a run that had a task with the same key."""
        return not self.keys.items().isdisjoint(_read_keys(run_dir).items())

    def begin(self, run_dir: Path, names: Iterable[str]) -> None:
        """Prepares the folder: removes the artifacts at their stable names and whatever this run does not take over.

        That is what failed tasks have made, and what tasks with other keys have made. So no artifact is left that
        belongs to other settings than those of this run.

        Args:
            run_dir: the folder of the run.
            names: stable names of the run's artifacts.
        """
        for name in names:
            path = run_dir / name
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():  # the attempt was killed while it moved its artifacts
                shutil.rmtree(path)
        tasks = run_dir / TASKS
        (tasks / CACHE).mkdir(parents=True, exist_ok=True)
        same = self.keys.items() & _read_keys(run_dir).items()
        repeated = {name for name, _ in same}
        kept: set[Path] = set()
        for entry in (tasks / CACHE).glob("*.json"):
            folders = _list_folders(entry)
            if repeated.issuperset(folder.name for folder in folders):
                kept |= folders
            else:
                entry.unlink()
        for folder in tasks.glob("*/*"):
            if folder.is_dir() and folder not in kept:
                shutil.rmtree(folder)
        if self.keys:
            (tasks / KEYS).write_text(json.dumps(self.keys))


def _read_keys(run_dir: Path) -> dict[str, str]:
    """Reads the keys of the last attempt by the names of its tasks; none if they cannot be read."""
    with suppress(OSError, ValueError):
        return dict(json.loads((run_dir / TASKS / KEYS).read_text()))
    return {}


def _list_folders(entry: Path) -> set[Path]:
    """Lists the folders of tasks, which have the tasks' names, that an entry of KFP's cache refers to."""
    outputs = json.loads(entry.read_text()).values()
    return {Path(output["uri"]).parent for output in outputs if isinstance(output, dict) and "uri" in output}


def find_artifacts(run_dir: Path, names: Collection[str]) -> dict[str, Path]:
    """Finds the artifacts that are still in the folders of their tasks, by name.

    Of several tasks of one component, which are named `train`, `train-2` and so on, those of the first are found; of
    several attempts, those of the last.
    """
    found = sorted(path for path in run_dir.glob(f"{TASKS}/*/*/*") if path.name in names)
    return {path.name: path for path in sorted(found, key=lambda path: path.parent.name, reverse=True)}


def link_artifacts(run_dir: Path, names: Mapping[str, str]) -> None:
    """Links the artifacts of a run that did not succeed to their stable names in its folder."""
    with suppress(OSError):  # the disk may be full
        for name, path in find_artifacts(run_dir, names).items():
            link = run_dir / names[name]
            if not link.exists():
                link.symlink_to(path.relative_to(run_dir))
