from collections.abc import Iterator

import pytest
from factories import PATHS
from kfp_server import FakeKfp, serve

from pipeline.cluster.submission import Submission
from pipeline.presets import DEFAULT, get_preset
from pipeline.tasks import Tasks


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> FakeKfp:
    """The state of a cluster; nothing of this machine's own settings is read."""
    for name in (
        "KF_PIPELINES_ENDPOINT",
        "KF_PIPELINES_UI_ENDPOINT",
        "KF_PIPELINES_TOKEN",
        "KF_PIPELINES_NAMESPACE",
        "KUBECONFIG",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path_factory.mktemp("context") / "context.json"))
    monkeypatch.setattr("pipeline.cluster.kubeflow.runs.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("pipeline.cluster.following.POLL_SECONDS", 0.001)
    return FakeKfp()


@pytest.fixture
def host(cluster: FakeKfp) -> Iterator[str]:
    with serve(cluster) as url:
        yield url


@pytest.fixture
def submission() -> Submission:
    tasks = Tasks(image="registry.example/two-tower:1", platform="kfp")
    parameters = {**get_preset(DEFAULT), **PATHS, "batch_size": 64, "evaluate_ks": [5, 20]}
    return Submission(pipeline="training", tasks=tasks, parameters=parameters)


@pytest.fixture
def vertex_submission() -> Submission:
    tasks = Tasks(image="registry.example/two-tower:1", platform="vertex", accelerator="NVIDIA_L4", num_accelerators=2)
    return Submission(
        pipeline="training",
        tasks=tasks,
        parameters={**get_preset(DEFAULT), **PATHS, "batch_size": 64, "evaluate_ks": [5, 20]},
        service_account="runner@shop.example",
        pipeline_root="gs://bucket/root",
    )
