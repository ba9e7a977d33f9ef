import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.core.records import _Records, read_records, recorded
from components.vocabulary.component import vocabulary

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["local", "s3", "gs"])
def uri(request: pytest.FixtureRequest, stores: dict[str, str]) -> str:
    return f"{stores[request.param]}/records of 漢/{request.node.name.partition('[')[0]}"


def name(uri: str, task: str = "train", run_id: str = "run-1") -> dict[str, str]:
    return {"records_uri": uri, "run_id": run_id, "task_name": task}


def test_a_task_leaves_its_result_and_one_that_raises_its_error(uri):
    before = datetime.now(UTC)
    with recorded(name(uri, "sessionize")) as record:
        record.result = {"num_lines": 3, "num_events": {"train": 2}}
        record.findings = {"ties": 1}
    with pytest.raises(KeyError), recorded(name(uri)) as record:
        record.result = {"seconds": 1.5, "item": {}["no such item"]}
    first, second = read_records(uri, "run-1").values()
    assert (first.task, first.status, first.error) == ("sessionize", "succeeded", {})
    assert (first.result, first.findings) == ({"num_lines": 3, "num_events": {"train": 2}}, {"ties": 1})
    assert (second.task, second.status, second.result) == ("train", "failed", {})
    assert second.error == {"type": "KeyError", "message": "'no such item'"}
    times = [datetime.fromisoformat(time) for each in (first, second) for time in (each.started, each.ended)]
    assert times == sorted(times)
    assert abs(times[0] - before).total_seconds() < 60
    assert read_records(uri, "run-2") == {}


def test_tasks_that_start_within_a_millisecond_keep_their_order(tmp_path):
    tasks = [f"task-{number}" for number in reversed(range(10, 40))]
    for task in tasks:
        with recorded(name(str(tmp_path), task)):
            pass
    assert list(read_records(str(tmp_path), "run-1")) == tasks


def test_a_second_attempt_replaces_the_record_of_the_first(uri):
    with pytest.raises(ValueError, match="first"), recorded(name(uri)):
        raise ValueError("first attempt")
    with recorded(name(uri)):
        assert read_records(uri, "run-1") == {}  # if it is killed now, nothing says that it failed
    assert read_records(uri, "run-1")["train"].status == "succeeded"


def test_numbers_that_are_not_finite_become_null(uri):
    with recorded(name(uri)) as record:
        record.result = {"share": float("nan"), "values": [float("inf"), 1.0]}
    assert read_records(uri, "run-1")["train"].result == {"share": None, "values": [None, 1.0]}


def test_a_record_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").touch()
    with recorded(name(str(tmp_path / "file"))):
        pass
    assert "The record of the task train could not be written to" in caplog.text
    with pytest.raises(ZeroDivisionError), recorded(name(str(tmp_path / "file"))):
        _ = 1 / 0


def test_nothing_is_written_without_a_place_or_a_name(tmp_path):
    for arguments in (name(""), name(str(tmp_path), task="")):
        with recorded(arguments) as record:
            record.result = {"a": 1}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["http://shop/records", "s3://", "gs:///prefix"])
def test_other_addresses_are_refused_before_the_work_begins(uri):
    with pytest.raises(ValueError, match="Expected records_uri to be"), recorded(name(uri)):
        pytest.fail("the work began")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "JSONDecodeError: "),
        (b"\xff\xfe\xfd", "UnicodeDecodeError: "),
        (b"[" * 100_000, "RecursionError: "),
        (b"[]", "TypeError: "),
        (b"{}", "KeyError: 'schema_version'"),
        (b'{"schema_version": 2}', "ValueError: Expected schema version 1. Received: 2"),
        (b'{"schema_version": 1, "task": "train", "started": "", "tasks": 1}', "TypeError: "),
        (b'{"schema_version": 1, "task": "train"}', "TypeError: "),
        (b'{"schema_version": 1, "task": "train", "started": 5}', "Expected started to be of type str. Received: 5"),
        (
            b'{"schema_version": 1, "task": "train", "started": "", "result": null}',
            "Expected result to be of type dict.",
        ),
    ],
)
def test_what_is_no_record_is_said_and_hides_no_other(uri, content, reason):
    with recorded(name(uri, "evaluate")) as record:
        record.result = {"num_targets": 3}
    records = _Records(uri, "run-1")
    if records.folder is not None:
        (records.folder / "train.json").write_bytes(content)
    else:
        records._store.put("train.json", content)
    said = []
    found = read_records(uri, "run-1", on_unreadable=said.append)
    assert {task: each.result for task, each in found.items()} == {"evaluate": {"num_targets": 3}}
    (text,) = said
    assert text.startswith(f"{uri}/run-1/train.json is not the record of a task. ")
    assert reason in text


def test_a_record_that_cannot_be_read_is_a_warning(tmp_path, caplog):
    with recorded(name(str(tmp_path), "evaluate")):
        pass
    (tmp_path / "run-1" / "train.json").mkdir()
    assert list(read_records(str(tmp_path), "run-1")) == ["evaluate"]
    assert f"{tmp_path}/run-1/train.json is not the record of a task. IsADirectoryError" in caplog.text


def test_a_killed_task_leaves_none(tmp_path):
    code = (
        "from components.core.records import recorded\n"
        f"with recorded({name(str(tmp_path))!r}):\n"
        "    print('begun', flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGKILL)
    assert read_records(str(tmp_path), "run-1") == {}


def test_a_component_records_an_error_in_its_parameters(small_artifacts, tmp_path):
    from types import SimpleNamespace

    events, output = (SimpleNamespace(path=str(path), metadata={}) for path in (small_artifacts[0], tmp_path / "v"))
    with pytest.raises(ValueError, match="at least 1"):
        vocabulary.python_func(events, output, min_item_count=0, **name(str(tmp_path), "vocabulary"))
    document = json.loads((tmp_path / "run-1" / "vocabulary.json").read_text())
    assert document["error"] == {
        "type": "ValueError",
        "message": "Expected min_item_count to be at least 1. Received: 0",
    }
