"""`make tensorboard` starts with what the lock installs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_locks_hold_a_setuptools_that_still_has_pkg_resources():
    """TensorBoard 2.20 imports pkg_resources, which setuptools 82 removed."""
    for lock in ("components/requirements.txt", "components/requirements-gpu.txt", "requirements-dev.txt"):
        text = (ROOT / lock).read_text()
        assert re.search(r"^tensorboard==2\.20\.", text, re.MULTILINE)
        (major,) = re.findall(r"^setuptools==(\d+)\.", text, re.MULTILINE)
        assert int(major) < 82
