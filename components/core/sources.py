"""The state of the sources, which names images and decides whether a training may resume."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parents[1]


def hash_sources(folder: Path = FOLDER) -> str:
    """Returns 12 hexadecimal digits of a hash of all files that an image is built from.

    These are the sources, the pages, the templates, the Dockerfile and the locks of the folder. The same files give the
    same hash on every machine: in a checkout, in an installed package and in the image, where the package itself is not
    installed.

    Args:
        folder: the folder `components`.
    """
    digest = hashlib.sha256()
    for path in sorted(_list_sources(folder), key=lambda path: path.relative_to(folder).as_posix()):
        contents = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(contents)}\0".encode())
        digest.update(contents)
    return digest.hexdigest()[:12]


def _list_sources(folder: Path) -> list[Path]:
    sources = (path for suffix in (".py", ".html", ".j2", ".css") for path in folder.rglob(f"*{suffix}"))
    return [*sources, *folder.glob("requirements*.txt"), folder / "Dockerfile"]
