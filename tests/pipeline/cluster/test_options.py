"""The command line and the schedule file say the same things by the same names."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from factories import PATHS

from pipeline.__main__ import cli
from pipeline.cluster import schedule_commands
from pipeline.cluster.cron import Cron
from pipeline.cluster.options import SUBMISSION_SETTINGS, TASK_SETTINGS
from pipeline.cluster.schedule import Schedule
from pipeline.cluster.schedule_file import SETTINGS, read_schedules
from pipeline.cluster.submission import Submission
from pipeline.platform_settings import PlatformSettings
from pipeline.presets import DEFAULT, get_preset
from pipeline.tasks import Tasks

# A value that is not its default of each setting that a training has, and what is made of them all.
VALUES: dict[str, Any] = {
    "name": "nightly",
    "cron": "0 1 * * *",
    "time_zone": "Asia/Tokyo",
    "cluster_time_zone": "Asia/Kolkata",
    "enabled": False,
    "pipeline": "training",
    "image": "registry.example/two-tower:1",
    "accelerator": "nvidia.com/gpu",
    "accelerator_count": 2,
    "object_store_secret": "store",
    "checkpoint_claim": "checkpoints",
    "resource": ["train.cpu=2", "ingest.memory=512Mi"],
    "platform": "pods.yaml",
    "preset": "sample",
    "layout": "gru4rec",
    "experiment": "nights",
    "service_account": "runner",
    "pipeline_root": "s3://bucket/root",
}
# Settings that a training does not have, and a pipeline that has them.
OTHER_VALUES: dict[str, dict[str, Any]] = {
    "retraining": {"webhook_secret": "webhook"},
    "raw-tuning": {"search_rounds": 1},
}
WANTED = Schedule(
    name="nightly",
    cron=Cron(expression="0 1 * * *", time_zone="Asia/Tokyo"),
    cluster_time_zone="Asia/Kolkata",
    enabled=False,
    submission=Submission(
        pipeline="training",
        tasks=Tasks(
            image="registry.example/two-tower:1",
            platform="kfp",
            accelerator="nvidia.com/gpu",
            num_accelerators=2,
            object_store_secret="store",
            checkpoint_claim="checkpoints",
            resources=("train.cpu=2", "ingest.memory=512Mi"),
            pods=PlatformSettings.check({"annotations": {"team": "search"}}),
        ),
        preset="sample",
        parameters={
            **get_preset("sample"),
            "session_column": "SessionId",
            "item_column": "ItemId",
            "time_column": "Time",
            "delimiter": "\t",
            **PATHS,
        },
        experiment="nights",
        service_account="runner",
        pipeline_root="s3://bucket/root",
    ),
)


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the schedules that a command line stands for."""
    seen: list[Schedule] = []
    monkeypatch.setattr(schedule_commands, "_apply", lambda wanted, *_, **__: seen.extend(wanted))

    def run(*arguments: str) -> Schedule:
        done = CliRunner().invoke(cli, ["schedule", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return seen.pop()

    return run


def write(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({"schedules": list(entries)}))
    return path


def test_options_and_file_are_one(parse: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert VALUES.keys() | {name for values in OTHER_VALUES.values() for name in values} == SETTINGS.keys()
    (tmp_path / "pods.yaml").write_text("annotations: {team: search}")
    path = write(tmp_path / "schedules.yaml", {**VALUES, "parameters": PATHS})
    assert read_schedules(path, "kfp") == [WANTED]
    monkeypatch.chdir(tmp_path)
    options = [
        f"--{name.replace('_', '-')}={value}"
        for name, values in VALUES.items()
        for value in (values if isinstance(values, list) else [values])
        if name != "enabled"
    ]
    assert parse(*options, "--paused", *(f"--set={name}={value}" for name, value in PATHS.items())) == WANTED


@pytest.mark.parametrize("pipeline", OTHER_VALUES)
def test_settings_of_other_pipelines(parse: Any, tmp_path: Path, pipeline: str) -> None:
    values = {"cron": "0 1 * * *", "pipeline": pipeline, **OTHER_VALUES[pipeline]}
    entry = {**values, "name": "two-tower", "parameters": {"log_path": "s3://l"}}
    (read,) = read_schedules(write(tmp_path / "schedules.yaml", entry), "kfp")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    assert parse(*options, "--set=log_path=s3://l") == read
    assert {name: getattr(read.submission.tasks, name) for name in OTHER_VALUES[pipeline]} == OTHER_VALUES[pipeline]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("experiment", "nights", "the target kfp for an experiment .* Received: 'nights'"),
        ("cluster_time_zone", "Asia/Tokyo", "the target kfp for the time zone .* Received: 'Asia/Tokyo'"),
        ("resource", ["train.shared_memory=1Gi"], "has an effect on vertex, one of cpu_limit, memory_limit, num_ret"),
        ("search_rounds", 7, "no number of rounds .* retraining, .*; tuning and raw-tuning do. Received: 7"),
    ],
)
def test_what_the_target_or_the_pipeline_cannot_use_is_refused(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    entry = {"name": "two-tower", "cron": "0 1 * * *", "pipeline_root": "gs://b", "parameters": {"log_path": "gs://l"}}
    path = write(tmp_path / "schedules.yaml", {**entry, key: value})
    with pytest.raises(ValueError, match=message):
        read_schedules(path, "vertex")
    read_schedules(write(path, {**entry, "kfp": {key: value} if key != "search_rounds" else {}}), "vertex")


def test_what_is_not_said_is_the_same_for_both(parse: Any, tmp_path: Path) -> None:
    path = write(
        tmp_path / "schedules.yaml", {"name": "two-tower", "cron": "0 1 * * *", "parameters": {"log_path": "s3://l"}}
    )
    (read,) = read_schedules(path, "kfp")
    assert parse("--cron=0 1 * * *", "--set=log_path=s3://l") == read
    assert read.submission == Submission(
        pipeline="retraining",
        tasks=Tasks(platform="kfp"),
        parameters={**get_preset(DEFAULT), "log_path": "s3://l"},
        preset=DEFAULT,
    )


def test_the_commands_have_the_options() -> None:
    for name, settings in (
        ("compile", TASK_SETTINGS),
        ("submit", SUBMISSION_SETTINGS),
        ("schedule", SETTINGS.values()),
    ):
        defaults = {one.name: one.default for one in cli.commands[name].params}
        for setting in settings:
            assert defaults[setting.name] == setting.default, (name, setting.name)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("image", 1, "image to be of the type str. Received: 1"),
        ("accelerator_count", "2", "accelerator_count to be of the type int. Received: '2'"),
        ("accelerator_count", True, "accelerator_count to be of the type int. Received: True"),
        ("enabled", "no", "enabled to be of the type bool. Received: 'no'"),
        ("cron", None, "cron to be of the type str. Received: None"),
        ("preset", "best", "preset to be one of .* Received: 'best'"),
        ("layout", "retail", "Expected a layout, one of retailrocket, .* Received: 'retail'"),
        ("layout", "movielens", "whose log contains sessions for split logs. Received: movielens"),
        (
            "parameters",
            {**PATHS, "evaluate_ks": [5.0]},
            r"evaluate_ks to be of the type list of integers. Received: \[5.0\]",
        ),
        ("parameters", {**PATHS, "data_errors": [0]}, r"data_errors to be of the type list of texts. Received: \[0\]"),
        (
            "parameters",
            {**PATHS, "data_errors": "seconds"},
            "data_errors to be of the type list of texts. Received: 'seconds'",
        ),
        ("pipeline", "serving", "pipeline to be one of training, tuning, raw-tuning, retraining. Received: 'serving'"),
        ("parameters", [1], "parameters to be mappings"),
        ("kfp", {"enabled": 1}, "enabled to be of the type bool. Received: 1"),
        ("vertex", {"image": 1}, "image to be of the type str. Received: 1"),
        ("target", "kfp", "Received: target"),
        ("resource", "train.cpu=2", "resource to be a list of texts. Received: 'train.cpu=2'"),
        ("resource", ["train.cpus=2"], r"Expected TASK.FIELD=VALUE .* Received: train.cpus=2"),
        ("platform", "elsewhere.yaml", r"Expected YAML in .*elsewhere.yaml \(--platform\)"),
    ],
)
def test_a_wrong_value_in_the_file_is_named(tmp_path: Path, key: str, value: Any, message: str) -> None:
    (tmp_path / "pods.yaml").write_text("annotations: {team: search}")
    path = write(tmp_path / "schedules.yaml", {**VALUES, "parameters": PATHS, key: value})
    with pytest.raises(ValueError, match=message):
        read_schedules(path, "kfp")


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "schedules.yaml"
    path.write_text("schedules:\n- name: weekly\n  cron: 0 3 * * 1\n  cron: 0 3 * * 2\n")
    with pytest.raises(ValueError, match=r"once in .*schedules.yaml. Received: 'cron' in line 3 and again in line 4"):
        read_schedules(path, "kfp")
    path.write_text("schedules: []\nschedules: []\n")
    with pytest.raises(ValueError, match=r"once in .*yaml \(--platform\). Received: 'schedules' in line 1 and again"):
        PlatformSettings.read(path)


def test_the_claim_fixes_the_folder_of_the_checkpoints(tmp_path: Path) -> None:
    parameters = {**PATHS, "checkpoint_root": "/elsewhere"}
    (tmp_path / "pods.yaml").touch()
    path = write(tmp_path / "schedules.yaml", {**VALUES, "parameters": parameters})
    with pytest.raises(ValueError, match="no value for checkpoint_root, which --checkpoint-claim sets to /checkpoints"):
        read_schedules(path, "kfp")
    (schedule,) = read_schedules(write(path, {**VALUES, "checkpoint_claim": "", "parameters": parameters}), "kfp")
    assert schedule.submission.parameters["checkpoint_root"] == "/elsewhere"


@pytest.mark.parametrize(
    ("target", "location", "is_readable"),
    [
        ("kfp", "s3://logs/days", True),
        ("kfp", "gs://logs/days", True),
        ("kfp", "/data/events.csv", False),
        ("kfp", "events.csv", False),
        ("kfp", "file:///data/events.csv", False),
        ("kfp", "/gcs/logs/days", False),
        ("vertex", "gs://logs/days", True),
        ("vertex", "/gcs/logs/days", True),
        ("vertex", "/data/events.csv", False),
    ],
)
def test_a_log_lies_where_pods_can_read_it(target: str, location: str, is_readable: bool) -> None:
    def make() -> None:
        Submission(
            pipeline="retraining",
            tasks=Tasks(platform=target),
            parameters={"log_path": location, "previous_events": ""},
            pipeline_root="gs://bucket/root",
        )

    if is_readable:
        make()
        return
    with pytest.raises(ValueError, match="log_path to be an address that pods can read") as refused:
        make()
    assert repr(location) in str(refused.value)


def test_a_parameter_overrides_the_layout(parse: Any, tmp_path: Path) -> None:
    parameters = {**PATHS, "item_column": "product"}
    (tmp_path / "pods.yaml").touch()
    path = write(tmp_path / "schedules.yaml", {**VALUES, "parameters": parameters})
    (schedule,) = read_schedules(path, "kfp")
    assert schedule.submission.parameters == {**WANTED.submission.parameters, "item_column": "product"}
    command = ["--cron=0 1 * * *", "--pipeline=training", "--layout=gru4rec"]
    settings = [f"--set={name}={value}" for name, value in parameters.items()]
    assert parse(*command, *settings).submission.parameters["item_column"] == "product"
    assert parse(*command, *settings).submission.parameters["session_column"] == "SessionId"
