"""The table of the tasks' resources in docs/kubeflow.md is what the code says."""

import re
from pathlib import Path

import pytest

from pipeline.resources import RESOURCES, Resources

PAGE = (Path(__file__).parents[2] / "docs" / "kubeflow.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("field", ["cpu_limit", "memory_limit", "timeout_hours", "num_retries"])
def test_the_defaults_of_a_field(field):
    (row,) = re.findall(rf"^\| `{field}` \| [^|]* \| ([^|]*) \|$", PAGE, re.MULTILINE)
    default, *others = row.split("; ")
    stated = {task: text.rpartition(" ")[2].strip() for text in others for task in re.findall(r"`(\w+)`", text)}
    assert default.strip() == str(getattr(Resources(), field))
    assert stated == {
        task: str(getattr(each, field))
        for task, each in RESOURCES.items()
        if getattr(each, field) != getattr(Resources(), field)
    }
