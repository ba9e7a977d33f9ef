"""Names of the container images and their tags."""

import re
from importlib.metadata import version
from pathlib import Path

from components.core.sources import FOLDER, hash_sources

REPOSITORY = "two-tower"
# The user of the Dockerfile. Kubernetes can verify `runAsNonRoot` only for a numeric user id.
USER_ID = 10001

_REFERENCE = re.compile(r"(?:[\w.-]+(?::\d+)?/)?[\w./-]+(?::(?P<tag>\w[\w.-]*))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?")


def make_source_version(folder: Path = FOLDER) -> str:
    """Returns the version of the sources: the package version and `hash_sources`.

    Args:
        folder: the folder `components`.
    """
    return f"{version('two-tower')}-{hash_sources(folder)}"


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
