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
        known: list[str] = []
        with suppress(OSError, ValueError):
            known = json.loads((run_dir / TASKS / KEYS).read_text())
        return not set(known).isdisjoint(self.keys.values())

    def begin(self, run_dir: Path, names: Iterable[str]) -> None:
        """Prepares the folder: removes the artifacts at their stable names, and what failed tasks have made."""
        for name in names:
            path = run_dir / name
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():  # the attempt was killed while it moved its artifacts
                shutil.rmtree(path)
        tasks = run_dir / TASKS
        (tasks / CACHE).mkdir(parents=True, exist_ok=True)
        entries = "".join(path.read_text() for path in (tasks / CACHE).glob("*.json"))
        for folder in tasks.glob("*/*"):
            if folder.is_dir() and json.dumps(str(folder))[1:-1] not in entries:
                shutil.rmtree(folder)
        if self.keys:
            (tasks / KEYS).write_text(json.dumps(sorted(self.keys.values())))


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
