"""The component in a pipeline of one's own."""

from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml
from kfp import compiler, dsl
from running_server import publish, save_index

from components.core.records import read_records
from components.recommend.component import recommend
from pipeline.tasks import Tasks

ITEM_IDS = [f"i{number}" for number in range(10)]


def test_the_component_leaves_a_record_of_what_it_did_and_of_its_error(tmp_path, capsys):
    serving_uri = str(tmp_path / "served")
    publish(serving_uri, save_index(ITEM_IDS, tmp_path / "index"), "first")
    (tmp_path / "log.csv").write_text("SessionId,ItemId,Time\na,i1,1700000000\nb,new,1700000000\n")
    made = SimpleNamespace(path=str(tmp_path / "recommendations"), metadata={})
    names = {"records_uri": str(tmp_path / "records"), "run_id": "run-1", "task_name": "recommend"}
    values = {"serving_uri": serving_uri, "recommend_k": 3, **names}
    recommend.python_func(sessions_path=str(tmp_path / "log.csv"), recommendations=made, **values)
    assert pq.read_table(made.path).num_rows == 6
    record = read_records(names["records_uri"], "run-1")["recommend"]
    assert record.status == "succeeded"
    assert record.result["most_frequent_unknown"] == {"new": 1}
    counts = {"serving_version": 1, "num_sessions": 2, "num_events": 2, "num_rows": 6, "num_rejected": 0}
    assert {name: record.result[name] for name in counts} == counts
    assert {name: made.metadata[name] for name in counts} == counts
    shown = "[result] 6 items recommended for 2 sessions with 2 events, 0 lines rejected\n"
    assert capsys.readouterr().out.endswith(shown)
    with pytest.raises(FileNotFoundError):
        recommend.python_func(sessions_path=str(tmp_path / "none.csv"), recommendations=made, **values)
    record = read_records(names["records_uri"], "run-1")["recommend"]
    assert (record.status, record.error["type"]) == ("failed", "FileNotFoundError")


def test_a_pipeline_of_ones_own_gets_resources_secret_and_record(tmp_path):
    tasks = Tasks(platform="kfp", object_store_secret="object-store", resources=("recommend.memory_limit=24Gi",))

    @dsl.pipeline(name="nightly-recommendations")
    def nightly(sessions_path: str, records_uri: str = "s3://models/records"):
        tasks.recommend(
            {
                "sessions_path": sessions_path,
                "serving_uri": "s3://models/shop",
                "recommend_k": 50,
                "records_uri": records_uri,
            }
        )

    compiler.Compiler().compile(nightly, str(tmp_path / "nightly.yaml"))
    spec, platform = yaml.safe_load_all((tmp_path / "nightly.yaml").read_text())
    task = spec["root"]["dag"]["tasks"]["recommend"]
    inputs = task["inputs"]["parameters"]
    assert inputs["task_name"]["runtimeValue"]["constant"] == "recommend"
    assert inputs["run_id"]["runtimeValue"]["constant"] == "{{$.pipeline_job_uuid}}"
    assert inputs["records_uri"] == {"componentInputParameter": "records_uri"}
    assert not task["cachingOptions"]
    [executor] = spec["deploymentSpec"]["executors"].values()
    assert executor["container"]["resources"]["resourceMemoryLimit"] == "24Gi"
    assert "object-store" in str(platform)
