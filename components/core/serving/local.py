"""A serving location in a local folder.

A publisher holds a lock on the folder, which the kernel releases when its process ends, so what it finds unfinished
belongs to a publisher that was killed. A version is written aside and renamed, so that readers see all or nothing.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from components.core.serving.contents import Contents
from components.core.serving.manifest import MANIFEST, MODELS, Draft, Manifest, PublishConflictError, ServingError

LOCK = ".lock"
_ASIDE = ".publishing-"
_REMOVED = ".removing-"


class LocalLocation:
    """A local folder with published versions.

    Args:
        root: the folder, which need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.name = str(self.root)

    def scan(self) -> Contents:
        """Lists and reads what the folder holds; a folder that does not exist holds nothing.

        Raises:
            ServingError: the folder cannot be listed or read.
        """
        with self._explained("read"):
            paths = list(self._list()) if os.path.lexists(self.root) else []
            return Contents.read(self.name, paths, self._read)

    def copy_file(self, path: str, target: Path) -> None:
        """Copies a file of a version.

        Args:
            path: path of the file, relative to the location.
            target: the copy.

        Raises:
            ServingError: the file cannot be read.
        """
        with self._explained("read"):
            shutil.copyfile(self.root / path, target)

    def publish(self, draft: Draft, *, keep: int | None = None) -> Manifest:
        """Publishes a version, and removes what interrupted publications left and versions beyond the last `keep`.

        Returns:
            The manifest of the new version, or of the one that was published with this key before.

        Raises:
            PublishConflictError: another process publishes, or another version than expected is the newest.
            ServingError: the folder cannot be read or written, or the manifest of a version cannot be read.
        """
        with self._explained("write"), self._locked():
            contents = self.scan()
            if published := contents.find(draft.publication_key):
                return published
            version = contents.get_next(draft)
            self._remove_aside()
            aside = self.root / f"{_ASIDE}{draft.publication_id}"
            _write(aside / "model", draft.model_files, {})
            _write(aside / "version", draft.index_files, {MANIFEST: draft.make_manifest(version)})
            (self.root / MODELS).mkdir(exist_ok=True)
            (aside / "model").rename(self.root / MODELS / str(version))
            _sync(self.root / MODELS)
            (aside / "version").rename(self.root / str(version))
            _sync(self.root)
            aside.rmdir()
            # After the rename: until then their numbers keep the next version above them.
            contents = self.scan()
            superfluous = contents.get_superfluous(keep) if keep else []
            for number in sorted({*contents.unfinished, *superfluous}):
                self._remove(number)
            return contents.manifests[version]

    def _list(self) -> Iterator[str]:
        """Yields the files below numbered folders, and each numbered folder itself."""
        for folder in (self.root, self.root / MODELS):
            if folder == self.root or folder.is_dir():
                for numbered in folder.iterdir():
                    if numbered.name.isascii() and numbered.name.isdigit():
                        prefix = numbered.relative_to(self.root).as_posix()
                        yield f"{prefix}/"
                        if (numbered / MANIFEST).is_file():
                            yield f"{prefix}/{MANIFEST}"

    def _read(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError:
            return None

    def _remove(self, number: int) -> None:
        """Removes a number; servers and readers lose each of its folders at once."""
        for place in (str(number), f"{MODELS}/{number}"):
            if (self.root / place).exists():
                aside = self.root / f"{_REMOVED}{place.replace('/', '-')}"
                shutil.rmtree(aside, ignore_errors=True)
                (self.root / place).rename(aside)
                shutil.rmtree(aside)

    def _remove_aside(self) -> None:
        for prefix in (_ASIDE, _REMOVED):
            for path in self.root.glob(f"{prefix}*"):
                shutil.rmtree(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise PublishConflictError(
                    f"Another process publishes to {self.name}. Nothing was published; run again when it has ended."
                ) from error
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except ServingError:
            raise
        except OSError as error:
            raise ServingError(f"Expected to {verb} the serving location {self.name}. Received: {error}") from error


def _write(folder: Path, files: Mapping[str, Path], texts: Mapping[str, bytes]) -> None:
    """Writes files and flushes them and their folders to the disk."""
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    for path in [*folder.rglob("*"), folder, folder.parent]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
