"""Publishes the content of an earlier version again, under the next number, which is what servers follow."""

import tempfile
from pathlib import Path

from components.core.serving.contents import Contents
from components.core.serving.location import fetch, open_location
from components.core.serving.manifest import PARTS, Draft, Manifest, list_folder

_NOT_COPIED = (
    "schema_version",
    "version",
    "publication_key",
    "publication_id",
    "created",
    "index_files",
    "model_files",
)


def roll_back(uri: str, to: int | None = None) -> Manifest:
    """Publishes the content of an earlier version as the newest one.

    Args:
        uri: the serving location.
        to: version whose content to publish; by default the one before the newest. With it, a manifest of another
            version that cannot be read does not matter.

    Returns:
        The manifest of the new version. `rolled_back` says from which version and to which one.

    Raises:
        ValueError: there is no such version, it is the newest one, or the default is not clear.
        PublishConflictError: another publisher was first.
        ServingError: the location cannot be read or written, or the version is damaged.
    """
    location = open_location(uri)
    contents = location.scan()
    if to is None:
        contents.check_readable()
        to = _get_default(contents)
    newest = max(contents.newest, *contents.unreadable, 0)
    if to not in contents.manifests or to == newest:
        earlier = ", ".join(str(version) for version in contents.manifests if version != newest) or "none"
        raise ValueError(f"Expected a version before the newest one in {location.name}: {earlier}. Received: {to}")
    source = contents.manifests[to]
    with tempfile.TemporaryDirectory(prefix="two-tower-rollback-") as scratch:
        for part in PARTS:
            fetch(location, source, part, Path(scratch, part))
        details = {name: value for name, value in source.document.items() if name not in _NOT_COPIED}
        draft = Draft(
            publication_key=f"rollback of {newest} to {to}",
            index_files=list_folder(Path(scratch, "index")),
            model_files=list_folder(Path(scratch, "model")),
            details={
                **details,
                "rolled_back": {"from": newest, "to": to, "publication_key": source.publication_key},
            },
            champion=contents.newest,
            allow_unreadable=True,
        )
        return location.publish(draft)


def _get_default(contents: Contents) -> int:
    """Returns the version before the newest one."""
    versions = list(contents.manifests)
    if len(versions) < 2:
        raise ValueError(
            f"Expected a version before the newest one in {contents.name}. "
            f"Received: {f'version {versions[0]} alone' if versions else 'no version'}"
        )
    done = contents.manifests[versions[-1]].document.get("rolled_back")
    if done:
        raise ValueError(
            f"Expected --to VERSION, since version {versions[-1]} is a rollback from version {done['from']} to "
            f"{done['to']} itself. Received: none; there are {', '.join(map(str, versions[:-1]))}"
        )
    return versions[-2]
