import json
import shutil

import pytest
import tensorflow as tf

from components.core.serving.location import fetch, list_versions, open_location
from components.core.serving.manifest import PublishConflictError
from components.core.sources import hash_sources
from components.core.vocabulary import Vocabulary
from components.export.index import recommend
from components.publish.parameters import PublishParameters
from components.publish.step import publish


def run(artifacts, uri, key="run-1", **parameters):
    given = PublishParameters(**{"serving_uri": str(uri), "publication_key": key, "refit_on_test": False, **parameters})
    return publish(**artifacts, parameters=given)


def test_a_version_has_what_servers_and_the_next_training_read(artifacts, tmp_path):
    uri = tmp_path / "lr=[1]" / "served"
    assert run(artifacts, uri, gate_override="new shop").version == 1
    # As TensorFlow Serving reads it: a number in the base path.
    expected = recommend(artifacts["index_dir"], ["a", "商品"], k=3, exclude_seen=False)
    assert recommend(uri / "1", ["a", "商品"], k=3, exclude_seen=False) == expected
    shutil.copy(uri / "1" / "assets.extra" / "tf_serving_warmup_requests", tmp_path / "requests")
    assert len(list(tf.data.TFRecordDataset(str(tmp_path / "requests")))) == 6  # three to each of two signatures
    (manifest,) = list_versions(str(uri))
    fetch(open_location(str(uri)), manifest, "model", tmp_path / "out")
    vocabulary = Vocabulary.read(tmp_path / "out" / "vocabulary.parquet")
    model = tf.saved_model.load(str(tmp_path / "out" / "model"))
    assert model.candidate(tf.constant(vocabulary.item_ids.to_pylist()))["embedding"].shape == (5, 17)
    document = json.loads((uri / "1" / "manifest.json").read_text())
    training = json.loads((artifacts["model_dir"] / "assets.extra" / "training.json").read_text())
    assert document["parameters"] == training["parameters"]
    assert document["metrics"] == {
        "model": {"recall@20": 0.5, "mrr@20": 0.25},
        "intervals": {"model": {"recall@20": [0.4, 0.6]}},
    }
    assert document["verdict"] == {"passed": True, "rules": [{"name": "any", "bound": 0.5}]}
    assert document["source_version"] == hash_sources()
    assert document["trained_until"] is document["data_sha256"] is document["rolled_back"] is None
    assert (document["gate_override"], document["publication_key"]) == ("new shop", "run-1")


def test_the_time_up_to_which_a_model_was_trained_is_recorded(artifacts, tmp_path):
    shutil.copytree(artifacts["model_dir"], tmp_path / "model")
    path = tmp_path / "model" / "assets.extra" / "training.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "trained_until": 1_441_324_800_000, "data_sha256": "ab"})
    )
    manifest = run({**artifacts, "model_dir": tmp_path / "model"}, tmp_path / "served")
    assert manifest.document["trained_until"] == 1_441_324_800_000
    assert manifest.document["data_sha256"] == "ab"


def test_a_retry_of_a_run_returns_the_version_that_it_published(artifacts, tmp_path):
    first = run(artifacts, tmp_path, champion_version=0)
    assert run(artifacts, tmp_path, "run-2", champion_version=1).version == 2
    assert run(artifacts, tmp_path, champion_version=0).document == first.document
    with pytest.raises(PublishConflictError, match=r"Expected version 1 as the newest .* Received: version 2"):
        run(artifacts, tmp_path, "run-3", champion_version=1)
    assert [each.version for each in list_versions(str(tmp_path))] == [1, 2]


def test_a_version_without_a_gate_is_published(artifacts, tmp_path):
    assert run({**artifacts, "verdict_path": None}, tmp_path).document["verdict"] is None


def verified(artifacts, folder, until=9_000, verified_until=9_000):
    """The artifacts, of a model that was trained on all splits, with its verification."""
    shutil.copytree(artifacts["model_dir"], folder / "model")
    path = folder / "model" / "assets.extra" / "training.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "trained_until": until}))
    (folder / "verification.json").write_text(json.dumps({"overlap": 0.5, "trained_until": verified_until}))
    return {**artifacts, "model_dir": folder / "model", "verification_path": folder / "verification.json"}


def test_a_model_trained_on_all_splits_is_published_with_its_verification(artifacts, tmp_path):
    document = run(verified(artifacts, tmp_path), tmp_path / "served", refit_on_test=True).document
    assert document["verification"] == {"overlap": 0.5, "trained_until": 9_000}
    assert document["trained_until"] == 9_000
    assert run(artifacts, tmp_path / "other").document["verification"] is None


@pytest.mark.parametrize(
    ("is_verified", "refit_on_test", "message"),
    [
        (False, True, "Expected a verification of the model with refit_on_test=True. Received: none"),
        (True, False, "Expected no verification of the model with refit_on_test=False. Received: one"),
    ],
)
def test_what_was_not_verified_as_it_should_be_is_not_published(
    artifacts, tmp_path, is_verified, refit_on_test, message
):
    given = verified(artifacts, tmp_path) if is_verified else artifacts
    with pytest.raises(ValueError, match=message):
        run(given, tmp_path / "served", refit_on_test=refit_on_test)
    assert not (tmp_path / "served").exists()


def test_the_verification_of_another_model_publishes_nothing(artifacts, tmp_path):
    with pytest.raises(ValueError, match=r"trained until 9000 ms. Received: one of a model that .* until 8000 ms"):
        run(verified(artifacts, tmp_path, verified_until=8_000), tmp_path / "served", refit_on_test=True)
    assert not (tmp_path / "served").exists()


@pytest.mark.parametrize("name", ["metrics_path", "verdict_path"])
@pytest.mark.parametrize("text", ["", "[]", '{"model": {"recall@20": NaN}}', '{"a": -Infinity}'])
def test_metrics_or_a_verdict_that_cannot_be_read_publish_nothing(artifacts, tmp_path, name, text):
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(ValueError, match=r"Expected|Expecting"):
        run({**artifacts, name: tmp_path / "broken.json"}, tmp_path / "served")
    assert not (tmp_path / "served").exists()


@pytest.mark.parametrize("name", ["index_dir", "model_dir"])
def test_an_artifact_without_a_model_publishes_nothing(artifacts, tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"Expected a folder with saved_model\.pb"):
        run({**artifacts, name: tmp_path}, tmp_path / "served")
    assert not (tmp_path / "served").exists()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"serving_uri": "ftp://a/b"}, "Expected a local folder, s3"),
        ({"publication_key": ""}, "Expected publication_key to be the id"),
        ({"champion_version": -2}, "Expected champion_version to be at least -1"),
        ({"keep_versions": 1}, "Expected keep_versions to be at least 2"),
    ],
)
def test_parameters_out_of_bounds_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        PublishParameters(**{"serving_uri": "served", "publication_key": "run-1", **parameters})
