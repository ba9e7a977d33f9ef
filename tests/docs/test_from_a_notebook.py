"""The code of docs/from-a-notebook.md, block by block as in a notebook."""

import re
from pathlib import Path

import pytest
from factories import SMALL_LOG

PAGE = Path(__file__).parents[2] / "docs" / "from-a-notebook.md"


@pytest.mark.slow
def test_the_blocks_lead_from_a_log_to_recommendations(tmp_path, monkeypatch):
    SMALL_LOG.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(block, names)  # noqa: S102
    assert names["recall"]["model"] > names["recall"]["popularity"] > 0
    assert len(names["recall"]) == 8
    assert len(set(names["recommended"])) == 10
    assert not set(names["recommended"]) & set(names["session"])
