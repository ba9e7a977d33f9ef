"""The table of resources in docs/kubeflow.md, and where it comes from."""

import re
from pathlib import Path

import pytest

from pipeline.graph_parameters import ALL_COMPONENTS
from pipeline.resources import get_resources

DOCS = Path(__file__).parents[2] / "docs" / "kubeflow.md"


@pytest.mark.parametrize("field", ["cpu_limit", "memory_limit", "shared_memory", "timeout_hours", "num_retries"])
def test_the_documented_defaults_are_those_of_the_tasks(field):
    row = next(line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{field}` |"))
    documented = {component.name: "" for component in ALL_COMPONENTS}
    for clause in row.split("|")[3].split(";"):
        tasks, value = re.findall(r"`(\w+)`", clause), clause.split()[-1]
        documented.update(dict.fromkeys(tasks or documented, value))
    assert documented == {name: str(getattr(get_resources(name), field)) for name in documented}
