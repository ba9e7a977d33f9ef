"""Which tasks a run that is started again takes over."""

import pytest
from kfp import dsl

from pipeline.retraining import make_retraining_pipeline
from pipeline.task_keys import hash_files, make_keys
from pipeline.training import make_training_pipeline

ARGUMENTS = {"train_path": "/a", "valid_path": "/b", "test_path": "/c"}
HASHES = {"train_path": "1", "valid_path": "2", "test_path": "3"}
TASKS = {"ingest", "vocabulary", "train", "evaluate", "export"}


def keys(arguments=ARGUMENTS, *, version="v", hashes=HASHES):
    return make_keys(make_training_pipeline().pipeline_spec, arguments, version=version, file_hashes=hashes)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({}, set()),
        ({"arguments": {**ARGUMENTS, "max_epochs": 3}}, {"train", "evaluate", "export"}),
        ({"arguments": {**ARGUMENTS, "max_epochs": 8}}, set()),  # the default
        ({"arguments": {**ARGUMENTS, "evaluate_ks": [5]}}, {"evaluate"}),
        ({"arguments": {**ARGUMENTS, "index_kind": "scann"}}, {"export"}),
        ({"arguments": {**ARGUMENTS, "min_item_count": 2}}, TASKS - {"ingest"}),
        ({"arguments": {**ARGUMENTS, "refit": False}}, TASKS - {"ingest"}),
        ({"arguments": {**ARGUMENTS, "checkpoint_root": "/elsewhere"}}, set()),
        ({"hashes": {**HASHES, "valid_path": "4"}}, TASKS),
        ({"version": "w"}, TASKS),
    ],
)
def test_a_task_is_another_if_what_decides_about_its_result_is(change, changed):
    first, second = keys(), keys(**change)
    assert first.keys() == second.keys() == TASKS
    assert {name for name in TASKS if first[name] != second[name]} == changed
    assert len(set(first.values())) == len(TASKS)


def test_a_log_that_cannot_be_hashed_has_no_keys():
    assert keys(hashes={"train_path": "1", "valid_path": "2"}) == {}


def test_what_reads_or_changes_the_serving_location_is_always_run():
    spec = make_retraining_pipeline().pipeline_spec
    arguments = {"log_path": "/log", "serving_uri": "/serving"}
    made = make_keys(spec, arguments, version="v", file_hashes={"log_path": "1"})
    assert made.keys() == {"sessionize", "vocabulary", "train", "export"}


def test_a_training_that_starts_from_the_published_model_is_always_run():
    spec = make_retraining_pipeline().pipeline_spec
    arguments = {"log_path": "/log", "serving_uri": "/serving", "warm_start": True}
    made = make_keys(spec, arguments, version="v", file_hashes={"log_path": "1"})
    assert made.keys() == {"sessionize", "vocabulary"}


def test_what_could_read_a_serving_location_is_repeated_only_if_there_is_one():
    spec = make_retraining_pipeline().pipeline_spec
    made = make_keys(spec, {"log_path": "/log"}, version="v", file_hashes={"log_path": "1"})
    assert made.keys() == {"sessionize", "vocabulary", "train", "export", "evaluate"}


@dsl.component(base_image="registry.example/two-tower:1", install_kfp_package=False)
def make(text: str, made: dsl.Output[dsl.Artifact], run_id: str = ""):
    pass


@dsl.component(base_image="registry.example/two-tower:1", install_kfp_package=False)
def read(made: dsl.Input[dsl.Artifact]) -> bool:
    return True


@dsl.component(base_image="registry.example/two-tower:1", install_kfp_package=False)
def end():
    pass


@dsl.pipeline
def nested(text: str, other: str = "x", run_id: str = ""):
    with dsl.ExitHandler(end()):
        first = make(text=text, run_id=run_id)
        second = read(made=first.outputs["made"])
        with dsl.If(second.output == True):  # noqa: E712
            make(text=other)


def test_tasks_under_an_exit_handler_have_keys_and_those_under_a_condition_have_none():
    found = [
        make_keys(nested.pipeline_spec, arguments, version="v", file_hashes={})
        for arguments in ({"text": "a"}, {"text": "a", "other": "y", "run_id": "1"}, {"text": "b"})
    ]
    assert found[0].keys() == {"make", "read"}
    assert found[0] == found[1]
    assert not {found[0]["make"], found[0]["read"]} & set(found[2].values())


def test_the_hash_is_that_of_names_and_contents(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "a.tsv").write_text("1")
    (folder / "b.tsv").write_text("22")
    first = hash_files({"log_path": str(folder)})["log_path"]
    assert (first["path"], first["files"], first["bytes"]) == (str(folder), 2, 3)
    (folder / "a.tsv").write_text("2")
    assert hash_files({"log_path": str(folder)})["log_path"]["sha256"] != first["sha256"]
    (folder / "a.tsv").write_text("1")
    assert hash_files({"log_path": str(folder)})["log_path"] == first


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (["day=1/part.parquet"], ["day=2/part.parquet"], False),
        (["day=1/part.parquet", "day=2/part.parquet"], ["day=1/part.parquet", "day=3/part.parquet"], False),
        (["a/part.tsv", "b/part.tsv"], ["a/part.tsv", "c/part.tsv"], False),
        (["day=1/a.tsv", "day=1/b.tsv"], ["day=2/a.tsv", "day=2/b.tsv"], False),
        (["logs/a.tsv", "logs/b.tsv"], ["moved/a.tsv", "moved/b.tsv"], True),
    ],
)
@pytest.mark.parametrize("source", ["", "/**/*", "/*/*"])
def test_the_folders_of_a_log_decide_about_its_hash(tmp_path, first, second, equal, source):
    hashes = []
    for root, paths in (("x", first), ("y", second)):
        for number, path in enumerate(paths):
            file = tmp_path / root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{number}")
        hashes.append(hash_files({"log_path": f"{tmp_path / root}{source}"})["log_path"]["sha256"])
    assert (hashes[0] == hashes[1]) is equal


def test_a_file_has_the_values_of_all_its_folders(tmp_path):
    hashes = set()
    for day in ("day=1", "day=2"):
        path = tmp_path / day / "part.tsv"
        path.parent.mkdir()
        path.write_text("x")
        hashes.add(hash_files({"log_path": str(path)})["log_path"]["sha256"])
    assert len(hashes) == 2
