"""The one place where image names stand, and what a tag means."""

import hashlib
import re
from importlib.metadata import version
from pathlib import Path

REPOSITORY = "two-tower"
# The user of the Dockerfile. A cluster that insists on non-root users wants to see a number.
USER_ID = 10001

_FOLDER = Path(__file__).parent
_REFERENCE = re.compile(r"(?:[\w.-]+(?::\d+)?/)?[\w./-]+(?::(?P<tag>\w[\w.-]*))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?")


def make_source_version(folder: Path = _FOLDER) -> str:
    """Names the state of the sources: the package's version and a hash of everything that an image is built from.

    That is this folder and nothing else: sources, Dockerfile, locks. The same files give the same version on every
    machine, in a checkout and in an installed package.

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
    """Names the image of these sources.

    Args:
        accelerator: cpu or gpu, the Dockerfile's argument.
        registry: what stands before the name, such as `ghcr.io/shop`; empty for an image on this machine.

    Raises:
        ValueError: there is no such accelerator.
    """
    if accelerator not in ("cpu", "gpu"):
        raise ValueError(f"Expected the accelerator cpu or gpu. Received: {accelerator!r}")
    suffix = "" if accelerator == "cpu" else f"-{accelerator}"
    return f"{registry.rstrip('/')}/{REPOSITORY}:{SOURCE_VERSION}{suffix}".lstrip("/")


def check_image_name(image: str) -> str:
    """Gives back a name that always means the same image: one with a tag that stays, or a digest.

    KFP's cache compares image names, not images: behind a moving tag it serves results of older code.

    Raises:
        ValueError: the name has neither, or the tag is `latest`.
    """
    match = _REFERENCE.fullmatch(image)
    if match is None or not (match["tag"] or match["digest"]):
        raise ValueError(f"Expected an image with a tag or a digest. Received: {image!r}")
    if match["tag"] == "latest" and not match["digest"]:
        raise ValueError(f"Expected a tag that always means the same image. Received: {image!r}")
    return image


SOURCE_VERSION = make_source_version()
IMAGE = make_image_name()
