"""Names of the container images and their tags."""

import hashlib
import re
from importlib.metadata import version
from pathlib import Path

REPOSITORY = "two-tower"
# The user of the Dockerfile. Kubernetes can verify `runAsNonRoot` only for a numeric user id.
USER_ID = 10001

_FOLDER = Path(__file__).parent
_REFERENCE = re.compile(r"(?:[\w.-]+(?::\d+)?/)?[\w./-]+(?::(?P<tag>\w[\w.-]*))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?")


def make_source_version(folder: Path = _FOLDER) -> str:
    """Returns the version of the sources: the package version and a hash of all files that an image is built from.

    These files are the sources, the Dockerfile and the locks of this folder. The same files give the same version on
    every machine, in a checkout and in an installed package.

    Args:
        folder: the folder `components`.
    """
    digest = hashlib.sha256()
    for path in sorted(_list_sources(folder), key=lambda path: path.relative_to(folder).as_posix()):
        contents = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(contents)}\0".encode())
        digest.update(contents)
    return f"{version('two-tower')}-{digest.hexdigest()[:12]}"


def _list_sources(folder: Path) -> list[Path]:
    return [*folder.rglob("*.py"), *folder.glob("requirements*.txt"), folder / "Dockerfile"]


def make_image_name(accelerator: str = "cpu", *, registry: str = "") -> str:
    """Returns the name of the image that is built from these sources.

    Args:
        accelerator: cpu or gpu, the build argument of the Dockerfile.
        registry: prefix of the name, such as `ghcr.io/shop`; empty for a local image.

    Raises:
        ValueError: the accelerator is unknown.
    """
    if accelerator not in ("cpu", "gpu"):
        raise ValueError(f"Expected the accelerator cpu or gpu. Received: {accelerator!r}")
    suffix = "" if accelerator == "cpu" else f"-{accelerator}"
    return f"{registry.rstrip('/')}/{REPOSITORY}:{SOURCE_VERSION}{suffix}".lstrip("/")


def check_image_name(image: str) -> str:
    """Returns the image name if it has a digest or a tag other than `latest`.

    KFP's cache compares image names, not images. If a tag is reassigned, the cache returns results of older code.

    Raises:
        ValueError: the name has neither a tag nor a digest, or the tag is `latest` without a digest.
    """
    match = _REFERENCE.fullmatch(image)
    if match is None or not (match["tag"] or match["digest"]):
        raise ValueError(f"Expected an image with a tag or a digest. Received: {image!r}")
    if match["tag"] == "latest" and not match["digest"]:
        raise ValueError(f"Expected a tag that always refers to the same image. Received: {image!r}")
    return image


SOURCE_VERSION = make_source_version()
IMAGE = make_image_name()
