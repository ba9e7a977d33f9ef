import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components import image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "step.py").write_text("x = 1\n")
    (tmp_path / "train" / "page.html").write_text("<p>\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "requirements.txt").write_text("kfp==2.17.0\n")
    return tmp_path


@pytest.mark.parametrize("name", ["train/step.py", "train/page.html", "Dockerfile", "requirements.txt"])
def test_every_file_the_image_is_built_from_counts(folder: Path, name: str) -> None:
    before = image.make_source_version(folder)
    (folder / name).write_text((folder / name).read_text() + "# more\n")
    assert image.make_source_version(folder) != before


def test_names_count_and_bytecode_does_not(folder: Path) -> None:
    before = image.make_source_version(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "step.cpython-311.pyc").write_bytes(b"0")
    assert image.make_source_version(folder) == before
    (folder / "train" / "step.py").rename(folder / "train" / "steps.py")
    assert image.make_source_version(folder) != before


def test_version_is_that_of_another_machine(folder: Path) -> None:
    # printf 'Dockerfile\0 13\0...' | sha256sum, by hand: sorted names, each with its length and contents
    import hashlib

    stream = b"Dockerfile\x0013\x00FROM scratch\nrequirements.txt\x0012\x00kfp==2.17.0\n"
    stream += b"train/page.html\x004\x00<p>\ntrain/step.py\x006\x00x = 1\n"
    assert image.make_source_version(folder).endswith(f"-{hashlib.sha256(stream).hexdigest()[:12]}")


def test_installed_package_names_the_same_image(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("components", "pipeline"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "README.md").touch()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    target = tmp_path / "installed"
    subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", target, source],
        check=True,
    )
    code = "from components import image; print(image.__file__, image.IMAGE)"
    printed = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(target)}, cwd=tmp_path, capture_output=True, check=True
    )
    path, name = printed.stdout.decode().split()
    assert Path(path).is_relative_to(target)
    assert name == image.IMAGE


def test_every_stage_is_built_on_a_base_that_stays() -> None:
    lines = (ROOT / "components" / "Dockerfile").read_text().splitlines()
    defaults = dict(
        line.removeprefix("ARG ").split("=", 1) for line in lines if line.startswith("ARG ") and "=" in line
    )
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert len(bases) == 2
    for base in bases:
        assert re.fullmatch(r"[\w./:-]+@sha256:[0-9a-f]{64}", defaults[base.removeprefix("$")])


def test_names_of_the_two_images_differ() -> None:
    assert image.make_image_name() == f"two-tower:{image.SOURCE_VERSION}"
    assert image.make_image_name("gpu", registry="r.io/shop/") == f"r.io/shop/two-tower:{image.SOURCE_VERSION}-gpu"
    with pytest.raises(ValueError, match="Received: 'tpu'"):
        image.make_image_name("tpu")


@pytest.mark.parametrize(
    "name",
    ["a:1", "r.io:5000/x/y:1.0-abc", "localhost:5000/x:v1", f"r.io/x@sha256:{'a' * 64}", f"x:latest@sha256:{'a' * 64}"],
)
def test_names_that_stay_are_taken(name: str) -> None:
    assert image.check_image_name(name) == name


@pytest.mark.parametrize("name", ["", "x", "x:", "r.io:5000/x/y", "x:latest", "r.io/x:latest", "a b:1", "x@sha256:12"])
def test_names_that_may_move_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Received: "):
        image.check_image_name(name)
