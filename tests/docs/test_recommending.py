"""The pipeline of the page compiles."""

import re
from pathlib import Path

import yaml

PAGE = Path(__file__).parents[2] / "docs" / "recommending.md"


def test_the_pipeline_of_ones_own_compiles(tmp_path, monkeypatch):
    [code] = [block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "dsl.pipeline" in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "nightly"})  # noqa: S102
    spec, platform = yaml.safe_load_all((tmp_path / "nightly.yaml").read_text())
    inputs = spec["root"]["dag"]["tasks"]["recommend"]["inputs"]["parameters"]
    assert inputs["recommend_k"] == {"componentInputParameter": "recommend_k"}
    assert "object-store" in str(platform)
