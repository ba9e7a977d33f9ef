import pytest

from components.evaluate.step import EvaluateParameters, evaluate
from components.export.index import recommend
from components.export.step import export
from components.train.parameters import TrainParameters
from components.train.step import train_model


@pytest.mark.slow
def test_every_step_works_in_a_folder_of_any_name(small_artifacts, tmp_path, monkeypatch):
    folder = tmp_path / 'lr=[0.002] it\'s "é漢🙂" {a,b} back\\slash' / "*?"
    (folder / "scratch").mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(folder / "scratch"))
    settings = {"query_tower": "mean", "embedding_dim": 8, "num_negatives": 32, "refit": True}
    first = TrainParameters(max_epochs=1, **settings)
    for root in (folder / "checkpoints", None):
        training = train_model(*small_artifacts, folder / "model", folder / "tensorboard", first, checkpoint_root=root)
    assert list((folder / "tensorboard").rglob("events.out.*"))
    # A second start finds the checkpoints and has nothing left to do.
    again = train_model(
        *small_artifacts, folder / "model", folder / "tensorboard", first, checkpoint_root=folder / "checkpoints"
    )
    assert len(again.refit.epochs) == len(training.refit.epochs) == 1
    document = evaluate(*small_artifacts, folder / "model", folder / "metrics.json", EvaluateParameters())
    assert document["num_targets"] > 0
    export(*small_artifacts, folder / "model", folder / "index", folder / "embeddings.parquet")
    assert len(recommend(folder / "index", ["i1", "i2"], k=3, exclude_seen=True).items) == 3
