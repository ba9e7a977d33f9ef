"""A serving location in a bucket of S3, of a store with its interface, or of Google Cloud Storage.

Objects cannot be renamed together, so conditional creation (`If-None-Match: *`) decides. A publisher
  1. claims the next number by creating models/<version>/claim.json,
  2. closes each unfinished lower number by creating its manifest, and removes its other objects,
  3. uploads, saved_model.pb last,
  4. creates <version>/manifest.json, which completes the version.
Of a publisher and a later one that takes it for dead, whoever creates the manifest first wins; the other one learns it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from components.core.object_store import open_store
from components.core.serving.contents import Contents
from components.core.serving.manifest import (
    MANIFEST,
    MODELS,
    SAVED_MODEL,
    Draft,
    Manifest,
    PublishConflictError,
    ServingError,
    make_closing,
)

CLAIM = "claim.json"
_MAX_REASON = 400  # characters


class Bucket:
    """A prefix of a bucket with published versions.

    Args:
        uri: `s3://bucket/prefix` or `gs://bucket/prefix`.
    """

    def __init__(self, uri: str) -> None:
        self.name = uri.rstrip("/")
        with self._explained("reach"):
            self._store = open_store(uri)

    def scan(self) -> Contents:
        """Lists and reads what the prefix holds.

        Raises:
            ServingError: the bucket cannot be listed or read.
        """
        with self._explained("list"):
            paths = [each["path"] for batch in obstore.list(self._store) for each in batch]
        return Contents.read(self.name, paths, self._read)

    def copy_file(self, path: str, target: Path) -> None:
        """Copies a file of a version.

        Args:
            path: path of the file, relative to the location.
            target: the copy, a local file.

        Raises:
            ServingError: the file cannot be read.
        """
        with self._explained("read"), target.open("wb") as file:
            for block in obstore.get(self._store, path).stream():
                file.write(block)

    def publish(self, draft: Draft, *, keep: int | None = None) -> Manifest:
        """Publishes a version, and removes what interrupted publications left and versions beyond the last `keep`.

        Returns:
            The manifest of the new version, or of the one that was published with this key before.

        Raises:
            PublishConflictError: another process publishes, or another version than expected is the newest.
            ServingError: the bucket cannot be read or written, or the manifest of a version cannot be read.
        """
        contents = self.scan()
        if published := contents.find(draft.publication_key):
            return published
        version = contents.get_next(draft)
        manifest = draft.make_manifest(version)
        self._claim(version, draft)
        for number in contents.unfinished:
            self._close(number, contents.paths[number], draft)
        self._upload(f"{MODELS}/{version}", draft.model_files)
        self._upload(str(version), draft.index_files)
        self._complete(version, manifest, draft)
        contents = self.scan()
        for number in contents.get_superfluous(keep) if keep else []:
            self._remove(contents.paths[number])
        return contents.manifests[version]

    def _claim(self, version: int, draft: Draft) -> None:
        claim = {"publication_key": draft.publication_key, "publication_id": draft.publication_id}
        winner = self._create(f"{MODELS}/{version}/{CLAIM}", json.dumps(claim).encode(), draft)
        if winner is not None:
            raise PublishConflictError(
                f"Another publication ({winner.get('publication_key')}) has taken the number {version} in {self.name}. "
                "Nothing was published; run again when it has ended."
            )

    def _close(self, version: int, paths: list[str], draft: Draft) -> None:
        """Keeps an unfinished version from being completed, and removes its objects.

        Its manifest stays while newer versions are few, so that a publisher that is only slow does not complete it.
        """
        winner = self._create(f"{version}/{MANIFEST}", make_closing(version, draft.publication_id), draft)
        if winner is not None and "closed_by" not in winner:
            raise PublishConflictError(
                f"Another publication ({winner.get('publication_key')}) has completed version {version} in "
                f"{self.name}. Nothing was published; run the pipeline again."
            )
        self._delete([path for path in paths if path != f"{version}/{MANIFEST}"])

    def _upload(self, folder: str, files: Mapping[str, Path]) -> None:
        for name in sorted(files, key=lambda name: (name == SAVED_MODEL, name)):
            with self._explained("write"):
                obstore.put(self._store, f"{folder}/{name}", files[name])

    def _complete(self, version: int, manifest: bytes, draft: Draft) -> None:
        # The manifest that closed this version may already have been removed again, but never before the claim.
        claim = self._read(f"{MODELS}/{version}/{CLAIM}")
        if claim is None or self._create(f"{version}/{MANIFEST}", manifest, draft) is not None:
            raise PublishConflictError(
                f"A later publication has closed version {version} in {self.name} before it was complete. "
                "It was not published; run the pipeline again."
            )

    def _create(self, path: str, content: bytes, draft: Draft) -> dict[str, str] | None:
        """Creates an object unless there is one.

        Returns:
            None if it was created; otherwise the JSON of the other publisher's object.
        """
        with self._explained("write"):
            try:
                obstore.put(self._store, path, content, mode="create")
            except AlreadyExistsError:
                document: dict[str, str] = json.loads(self._read(path) or b"{}")
                # A request that is repeated after a lost answer meets its own object.
                owner = document.get("closed_by", document.get("publication_id"))
                return None if owner == draft.publication_id else document
        return None

    def _remove(self, paths: list[str]) -> None:
        """Removes the objects of a version, its manifest first: without one it does not exist."""
        first = [path for path in paths if path.endswith(f"/{MANIFEST}")]
        self._delete(first)
        self._delete([path for path in paths if path not in first])

    def _delete(self, paths: list[str]) -> None:
        if paths:
            with self._explained("write"):
                obstore.delete(self._store, paths)

    def _read(self, path: str) -> bytes | None:
        with self._explained("read"):
            try:
                return bytes(obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None

    @contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except ServingError:
            raise
        except (BaseError, OSError, ValueError) as error:
            # One line, without what describes the error for developers of the library.
            reason = " ".join(str(error).split())[:_MAX_REASON] or type(error).__name__
            raise ServingError(f"Expected to {verb} the serving location {self.name}. Received: {reason}") from error
