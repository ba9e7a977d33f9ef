"""The manifest of a published version, without which the version does not exist."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SAVED_MODEL = "saved_model.pb"
MODELS = "models"
VOCABULARY = "vocabulary.parquet"  # beside the folder TOWERS, in models/<version>/
TOWERS = "model"
PARTS = ("index", "model")  # what is in <version>/ and in models/<version>/

_TYPES: dict[str, type | tuple[type, ...]] = {
    "version": int,
    "publication_key": str,
    "publication_id": str,
    "created": str,
    "index_files": dict,
    "model_files": dict,
    "metrics": dict,
    "parameters": dict,
    "trained_until": (str, int, float, type(None)),
}


class ServingError(OSError):
    """A serving location cannot be listed, read or written, or holds something damaged.

    Whoever decides about a model must take this as a no: it is not an empty location.
    """


class PublishConflictError(ServingError):
    """Another publisher was first. This one has published nothing."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The manifest of a complete version.

    Attributes:
        version: number of the version.
        publication_key: name of the publication; a retry has the same one.
        document: the whole content of manifest.json.
    """

    version: int
    publication_key: str
    document: dict[str, Any]

    def get_files(self, part: str) -> dict[str, dict[str, Any]]:
        """Returns `sha256` and `num_bytes` of each file of a part, by its path in the folder of the part.

        Args:
            part: one of PARTS.
        """
        files: dict[str, dict[str, Any]] = self.document[f"{part}_files"]
        return files


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A version to publish.

    Attributes:
        publication_key: name of the publication. A location publishes a key once.
        index_files: files of `<version>/`, by their path in it.
        model_files: files of `models/<version>/`, by their path in it.
        details: the other entries of the manifest, such as metrics.
        champion: number of the version that must be the newest one, 0 for none; None for any.
        allow_unreadable: publish even though the manifest of another version cannot be read.
        publication_id: identifies this attempt.

    Raises:
        ValueError: the key is empty.
    """

    publication_key: str
    index_files: Mapping[str, Path]
    model_files: Mapping[str, Path]
    details: Mapping[str, Any]
    champion: int | None = None
    allow_unreadable: bool = False
    publication_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if not self.publication_key:
            raise ValueError("Expected a publication key, such as the id of the run. Received: an empty one")

    def make_manifest(self, version: int) -> bytes:
        """Returns the content of manifest.json.

        Raises:
            ValueError: a number is not finite.
        """
        document = {
            "schema_version": SCHEMA_VERSION,
            "version": version,
            "publication_key": self.publication_key,
            "publication_id": self.publication_id,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **self.details,
            "index_files": describe_files(self.index_files),
            "model_files": describe_files(self.model_files),
        }
        content = json.dumps(document, indent=2, allow_nan=False).encode()
        parse_manifest(content, version)
        return content


def make_closing(version: int, publication_id: str) -> bytes:
    """Returns the manifest that closes an unfinished version, so that its publisher can no longer complete it."""
    document = {"schema_version": SCHEMA_VERSION, "version": version, "closed_by": publication_id}
    return json.dumps(document).encode()


def parse_manifest(content: bytes, version: int) -> Manifest | None:
    """Parses a manifest.

    Args:
        content: bytes of manifest.json.
        version: number of the folder that holds it.

    Returns:
        The manifest; None if it closes an unfinished version.

    Raises:
        ValueError: it is torn, has another schema version, or its entries are not those of a manifest.
    """
    try:
        document = json.loads(content)
    except ValueError as error:  # of JSON or of UTF-8
        raise ValueError(f"Expected a complete JSON document. Received: {len(content)} bytes, {error}") from error
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        found = document.get("schema_version") if isinstance(document, dict) else type(document).__name__
        raise ValueError(f"Expected a manifest of the schema version {SCHEMA_VERSION}. Received: {found}")
    if document.get("version") != version:
        raise ValueError(f"Expected the manifest of version {version}. Received: that of {document.get('version')}")
    if "closed_by" in document:
        return None
    for name, kinds in _TYPES.items():
        if name not in document or not isinstance(document[name], kinds):
            raise ValueError(f"Expected the entry {name} of a manifest. Received: {document.get(name)!r}")
    for part in PARTS:
        for path, each in document[f"{part}_files"].items():
            if not _is_inside(path) or not isinstance(each, dict) or not isinstance(each.get("sha256"), str):
                raise ValueError(f"Expected the path of a file in the version and its sha256. Received: {path!r}")
    return Manifest(version=version, publication_key=document["publication_key"], document=document)


def _is_inside(path: str) -> bool:
    return not {"", ".", ".."} & set(path.split("/"))


def list_folder(folder: Path) -> dict[str, Path]:
    """Lists all files below a folder, by their POSIX path in it."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def describe_files(files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Returns `sha256` and `num_bytes` of each file, by the same names."""
    return {name: {"sha256": hash_file(path), "num_bytes": path.stat().st_size} for name, path in sorted(files.items())}


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
