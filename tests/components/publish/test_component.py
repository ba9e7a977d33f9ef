import json
from types import SimpleNamespace

from components.publish.component import publish


def artifact(path):
    return SimpleNamespace(path=str(path), metadata={})


def test_the_component_publishes_and_returns_the_version(artifacts, tmp_path):
    manifest = artifact(tmp_path / "manifest.json")
    names = {"index": "index_dir", "model": "model_dir", "vocabulary": "vocabulary_path", "metrics": "metrics_path"}
    inputs = {name: artifact(artifacts[source]) for name, source in names.items()}
    values = {"serving_uri": str(tmp_path / "served"), "publication_key": "run-1", "refit_on_test": False}
    assert publish.python_func(**inputs, manifest=manifest, **values) == 1
    assert manifest.metadata == {"version": 1, "publication_key": "run-1"}
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert written == json.loads((tmp_path / "served" / "1" / "manifest.json").read_text())
    assert written["verdict"] is None
    verdict = artifact(artifacts["verdict_path"])
    values["publication_key"] = "run-2"
    assert publish.python_func(**inputs, manifest=manifest, verdict=verdict, **values) == 2
    assert json.loads((tmp_path / "manifest.json").read_text())["verdict"]["passed"] is True


def test_the_verdict_is_optional():
    assert publish.component_spec.inputs["verdict"].optional
    assert not publish.component_spec.inputs["model"].optional
