"""What a serving location holds, from its listing."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from components.core.serving.manifest import (
    MANIFEST,
    MODELS,
    Draft,
    Manifest,
    PublishConflictError,
    ServingError,
    parse_manifest,
)

_NUMBERED = re.compile(rf"(?:{MODELS}/)?(\d{{1,18}})/")


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a serving location holds.

    Attributes:
        name: the location, for messages.
        paths: paths of the files of each number, relative to the location, also of numbers that are no version.
        manifests: manifests of the complete versions, in ascending order.
        unreadable: why the manifest of a version cannot be read.
    """

    name: str
    paths: dict[int, list[str]]
    manifests: dict[int, Manifest]
    unreadable: dict[int, str]

    @classmethod
    def read(cls, name: str, paths: Iterable[str], read: Callable[[str], bytes | None]) -> "Contents":
        """Reads the manifests among the files of a location.

        Args:
            name: the location, for messages.
            paths: paths of all files, relative to the location.
            read: returns the content of a file; None if it was removed since it was listed.
        """
        by_number: dict[int, list[str]] = {}
        for path in paths:
            if match := _NUMBERED.match(path):
                by_number.setdefault(int(match[1]), []).append(path)
        manifests, unreadable = {}, {}
        for number in sorted(by_number):
            path = f"{number}/{MANIFEST}"
            content = read(path) if path in by_number[number] else None
            if content is None:
                continue
            try:
                manifest = parse_manifest(content, number)
            except ValueError as error:
                unreadable[number] = str(error)
            else:
                if manifest:
                    manifests[number] = manifest
        return cls(name=name, paths=by_number, manifests=manifests, unreadable=unreadable)

    @property
    def newest(self) -> int:
        """Number of the newest complete version, the one that servers follow; 0 without any."""
        return max(self.manifests, default=0)

    @property
    def unfinished(self) -> list[int]:
        """Numbers of which an interrupted or a running publication, or a removal, has left files."""
        return [number for number in sorted(self.paths) if number not in self.manifests.keys() | self.unreadable.keys()]

    def check_readable(self) -> None:
        """Raises a ServingError if the manifest of a version cannot be read."""
        for number, reason in self.unreadable.items():
            raise ServingError(
                f"The manifest of version {number} in {self.name} cannot be read. {reason}. Restore the file, or "
                f"remove the folder {number} if that version is not to be served."
            )

    def find(self, publication_key: str) -> Manifest | None:
        """Returns the newest version that has the key; None without any."""
        return next(
            (each for each in reversed(self.manifests.values()) if each.publication_key == publication_key), None
        )

    def get_next(self, draft: Draft) -> int:
        """Returns the number for a new version, above all numbers that were ever used.

        Raises:
            PublishConflictError: another version than expected is the newest.
            ServingError: the manifest of a version cannot be read.
        """
        if not draft.allow_unreadable:
            self.check_readable()
        if draft.champion is not None and draft.champion != self.newest:
            raise PublishConflictError(
                f"Expected {_show(draft.champion)} as the newest version in {self.name}, which this one was compared "
                f"with. Received: {_show(self.newest)}. Nothing was published; run the pipeline again."
            )
        return max(self.paths, default=0) + 1

    def get_superfluous(self, keep: int) -> list[int]:
        """Returns the numbers below the newest `keep` complete versions; none while there are fewer of them."""
        kept = sorted(self.manifests)[-max(1, keep) :]
        return [number for number in sorted(self.paths) if len(kept) >= keep and number < kept[0]]


def _show(version: int) -> str:
    return f"version {version}" if version else "no version"
