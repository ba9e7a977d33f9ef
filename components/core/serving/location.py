"""Where published versions are: a local folder or a bucket.

    SERVING_URI/<version>/           the index, as TensorFlow Serving reads it, with manifest.json
    SERVING_URI/models/<version>/    the towers in model/, and vocabulary.parquet

A version without a manifest does not exist. Versions are positive numbers that only grow; the newest one is served.
"""

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from components.core.serving.local import LocalLocation
from components.core.serving.manifest import MODELS, Manifest, ServingError, hash_file

if TYPE_CHECKING:
    from components.core.serving.bucket import Bucket

Location: TypeAlias = "LocalLocation | Bucket"


def open_location(uri: str) -> Location:
    """Returns a serving location, without reaching for it.

    Args:
        uri: a local folder, `s3://bucket/prefix` or `gs://bucket/prefix`. Credentials, region and endpoint of a bucket
            come from the standard environment variables of its provider.

    Raises:
        ValueError: the address is empty, has another scheme or no bucket.
    """
    check_uri(uri)
    scheme, separator, rest = uri.partition("://")
    if separator and scheme != "file":
        # Its library is not needed for local folders.
        from components.core.serving.bucket import Bucket

        return Bucket(uri)
    return LocalLocation(Path(rest if separator else uri))


def check_uri(uri: str) -> None:
    """Checks the form of a serving location.

    Raises:
        ValueError: the address is empty, has another scheme or no bucket.
    """
    scheme, separator, rest = uri.partition("://")
    is_local = not separator or scheme == "file"
    if not uri or not (is_local or (scheme in ("s3", "gs") and rest.partition("/")[0])):
        raise ValueError(f"Expected a local folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX. Received: {uri!r}")


def list_versions(uri: str) -> list[Manifest]:
    """Lists the complete versions of a serving location.

    Returns:
        The manifests in ascending order; the last one is served. Empty if the location can be listed and holds no
        version, or is a local folder that does not exist.

    Raises:
        ServingError: the location cannot be listed, or a manifest cannot be read, is torn or has another schema
            version.
        ValueError: the address is none of a serving location.
    """
    contents = open_location(uri).scan()
    contents.check_readable()
    return list(contents.manifests.values())


def fetch(location: Location, manifest: Manifest, part: str, destination: Path) -> None:
    """Copies one part of a version to a local folder and checks each file's hash.

    Args:
        location: the serving location.
        manifest: manifest of the version.
        part: `index`, or `model` for the towers in `model/` and `vocabulary.parquet`.
        destination: folder to write to.

    Raises:
        ServingError: a file is missing or differs from the manifest.
    """
    folder = str(manifest.version) if part == "index" else f"{MODELS}/{manifest.version}"
    for name, description in manifest.get_files(part).items():
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        location.copy_file(f"{folder}/{name}", target)
        found = hash_file(target)
        if found != description["sha256"]:
            raise ServingError(
                f"Expected {folder}/{name} in {location.name} to have the SHA-256 {description['sha256']}. "
                f"Received: {found}. The version is damaged; publish again or roll back."
            )
