"""What a new user does wrong, one row each: the exit code, and a message that says what to do."""

import errno
import re
import signal
import sys
from pathlib import Path

import pytest
from in_process import tasks_in_process

from components.core.vocabulary import Vocabulary
from components.evaluate import step as evaluate_step
from components.export import step as export_step
from components.ingest import step as ingest_step
from components.train import step as train_step
from pipeline import __main__ as command_line
from pipeline.output_folder import OutputFolder

SPLITS = ["--train", "train.tsv", "--valid", "valid.tsv", "--test", "test.tsv"]
QUICK = ["embedding_dim=8", "num_negatives=8", "query_tower=mean", "max_epochs=1", "refit=false"]
SETTINGS = [option for setting in QUICK for option in ("--set", setting)]


@pytest.fixture
def start(small_log, tmp_path, monkeypatch, capfd):
    """Runs the command line in a folder with logs; gives its exit code, its output and its errors."""
    monkeypatch.chdir(tmp_path)
    for split, path in small_log.items():
        (tmp_path / f"{split}.tsv").write_bytes(path.read_bytes())
        (tmp_path / f"{split}.csv").write_text(path.read_text().replace("\t", ","))
    (tmp_path / "empty.tsv").touch()
    (tmp_path / "header.tsv").write_text("SessionId\tItemId\tTime\n")
    (tmp_path / "times.tsv").write_text("SessionId\tItemId\tTime\n1\t2\tyesterday\n1\t3\ttoday\n")
    (tmp_path / "clicks.csv").write_text(
        "visitorid,itemid,event,timestamp\n1,2,click,1430000000000\n1,3,click,1430000001000\n"
    )
    (tmp_path / "typo.yaml").write_text("max_epoch: 3\n")
    (tmp_path / "other").mkdir()
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["two-tower", *map(str, arguments)])
        with tasks_in_process(), pytest.raises(SystemExit) as stopped:
            command_line.main()
        return int(stopped.value.code or 0), *capfd.readouterr()

    yield run
    signal.signal(signal.SIGTERM, before)


def setting(text):
    return ["run", *SPLITS, "--set", text]


# The command, its exit code, and what its message says.
MISTAKES = {
    "a log that is not there": (
        ["run", "--train", "trian.tsv", "--valid", "valid.tsv", "--test", "test.tsv"], 1,
        "Expected --train to be a file, a folder or a glob that matches one. Received: trian.tsv",
    ),
    "a raw log that is not there": (
        ["run", "--events", "logs"], 1,
        "Expected --events to be a file, a folder or a glob",
    ),
    "a glob of nothing": (["run", "--events", "logs/*.csv"], 1, r"a glob that matches one. Received: logs/*.csv"),
    "an empty path": (["run", "--events", ""], 1, "Expected a path for --events. Received: an empty string"),
    "a log without the others": (
        ["run", "--train", "train.tsv"], 2,
        "Expected --train, --valid and --test together. Missing: --valid, --test",
    ),
    "two kinds of logs": (
        ["run", *SPLITS, "--events", "clicks.csv"], 2,
        "Expected --events or --train, --valid and --test",
    ),
    "as-of without a raw log": (["run", "--as-of", "2025-01-01"], 2, "Expected --as-of together with --events"),
    "serving without a raw log": (["run", "--serving", "models"], 2, "Expected --serving together with --events"),
    "an override without serving": (
        ["run", "--events", "clicks.csv", "--set", "gate_override=me"], 2,
        "Expected gate_override together with --serving",
    ),
    "a layout without a log": (["run", "--layout", "otto"], 2, "Expected --layout together with a log"),
    "an unknown layout": (["run", *SPLITS, "--layout", "oto"], 2, "'oto' is not one of"),
    "an unknown preset": (["run", "--preset", "fast"], 1, "Expected a preset, one of default, sample, notebook"),
    "a preset of split logs": (
        ["run", "--events", "clicks.csv", "--preset", "notebook"], 2,
        "The preset 'notebook' cannot be combined with --events",
    ),
    "a misspelt parameter": (setting("max_epoch=3"), 1, "Received: 'max_epoch'. Did you mean max_epochs"),
    "a parameter of a raw log": (
        setting("window_days=3"), 1, "Only the pipeline over a raw log (--events) has it",
    ),
    "a misspelt parameter of a raw log": (
        setting("window_day=3"), 1, "Only the pipeline over a raw log (--events) has window_days",
    ),
    "a parameter of split logs": (
        ["run", "--events", "clicks.csv", "--set", "sample_fraction=0.5"], 1,
        "Only the pipeline over split logs (--train, --valid, --test) has it",
    ),
    "a parameter of an export without a gate": (
        ["run", "--events", "clicks.csv", "--set", "min_index_recall=0.5"], 1,
        "Only the pipeline over split logs (--train, --valid, --test) has it",
    ),
    "a parameter of the other pipeline on a cluster": (
        ["submit", "--set", "log_path=s3://logs/days"], 1, "Only the pipeline retraining has it",
    ),
    "a parameter of another step": (
        ["check", "clicks.csv", "--set", "max_epoch=3"], 1, "Did you mean max_epochs? Only the step train has",
    ),
    "an option as a parameter": (
        ["recommend", "--index", "other", "--sessions", "clicks.csv", "--output", "x", "--set", "recommend_k=3"], 2,
        "Expected the option -k instead. Received: --set recommend_k=...",
    ),
    "a parameter of another command": (
        ["recommend", "--index", "other", "--sessions", "clicks.csv", "--output", "x", "--set", "item_colum=i"], 1,
        "Received: 'item_colum'. Did you mean item_column",
    ),
    "a parameter of nothing": (setting("colour=red"), 1, "`two-tower parameters` lists all"),
    "a parameter without a value": (setting("max_epochs"), 1, "Expected NAME=VALUE, such as max_epochs=4"),
    "a word for a number": (setting("max_epochs=many"), 1, "Expected max_epochs to be of the type Integer"),
    "yes for true": (setting("refit=yes"), 1, "Expected refit to be of the type Boolean. Received: 'yes'"),
    "a parameter twice": ([*setting("max_epochs=1"), "--set", "max_epochs=2"], 2, "Expected --set max_epochs=... once"),
    "the folder of the checkpoints": (setting("checkpoint_root=/x"), 2, "Omit --set checkpoint_root=..."),
    "an unknown tower": (setting("query_tower=bert"), 1, "Expected query_tower to be one of session_id, last_item"),
    "an unknown loss": (setting("loss=hinge"), 1, "Expected loss to be one of in_batch, sampled, full, bpr_max"),
    "a loss without the pointer": (setting("loss=in_batch"), 1, "Expected pointer to be false unless loss is full"),
    "a dimension of 0": (setting("embedding_dim=0"), 1, "Expected embedding_dim to be at least 1. Received: 0"),
    "a dropout of 1": (setting("dropout=1"), 1, "Expected dropout to be 0, or from 1e-05 to 0.99999"),
    "no epochs": (setting("max_epochs=0"), 1, "Expected max_epochs to be at least 1"),
    "a cut-off of 0": (setting("evaluate_ks=0"), 1, "Expected evaluate_ks to be cut-offs of at least 1"),
    "more than the whole log": (
        setting("sample_fraction=2"), 1,
        "Expected sample_fraction to be above 0 and at most 1",
    ),
    "items without an event": (setting("min_item_count=0"), 1, "Expected min_item_count to be at least 1"),
    "a date in words": (
        ["run", "--events", "clicks.csv", "--as-of", "monday"], 1,
        "Expected as_of to be an ISO 8601 date",
    ),
    "too few versions": (
        ["run", "--events", "clicks.csv", "--serving", "models", "--set", "keep_versions=1"], 1,
        "Expected keep_versions to be at least 2",
    ),
    "a configuration that is not there": (["run", "--config", "run.yaml"], 1, "Expected --config to be a YAML file"),
    "a misspelt parameter in a file": (
        ["run", "--config", "typo.yaml"], 1,
        "typo.yaml: Expected a parameter of the pipeline",
    ),
    "a log as the configuration": (["run", "--config", "train.csv"], 1, "to map parameters to values"),
    "an output that cannot be written": (
        ["run", *SPLITS, "--output", "/proc/x"], 1,
        "The output folder /proc/x cannot be used",
    ),
    "a file as the output": (["run", *SPLITS, "--output", "train.tsv"], 2, "is a file"),
    "everything and nothing": (["run", "-v", "-q"], 2, "Expected -v or -q. Received: both"),
    "two configurations": (
        ["run", "--config", "typo.yaml", "--config", "other.yaml"], 2,
        "Expected --config once; put all values into one file, or use --set. Received: typo.yaml and other.yaml",
    ),
    "two configurations of a search": (
        ["tune", "--config", "typo.yaml", "--config", "other.yaml"], 2, "Expected --config once",
    ),
    "an image without a container": (
        ["run", *SPLITS, "--image", "my:tag"], 2,
        "Expected --image together with --runner docker. Received: --image my:tag alone",
    ),
    "a moving tag": (
        ["run", "--runner", "docker", "--image", "two-tower:latest"], 1,
        "a tag that always refers to the same image",
    ),
    "an unknown option": (["run", "--epochs", "3"], 2, "No such option '--epochs'"),
    "an unknown command": (["trian"], 2, "No such command 'trian'"),
    "the wrong columns": (setting("item_column=Item"), 3, "Expected each of the columns"),
    "a comma file read with tabs": (
        ["run", "--train", "train.csv", "--valid", "valid.csv", "--test", "test.csv", "--set", "delimiter=\t"], 3,
        "Expected each of the columns",
    ),
    "splits swapped": (
        ["run", "--train", "test.tsv", "--valid", "valid.tsv", "--test", "train.tsv"], 3, "Are the files swapped",
    ),
    "one file for two splits": (
        ["run", "--train", "train.tsv", "--valid", "train.tsv", "--test", "test.tsv"], 3,
        "Expected different files for each split",
    ),
    "an empty file": (["run", "--train", "empty.tsv", "--valid", "valid.tsv", "--test", "test.tsv"], 3, "empty.tsv"),
    "a file of a header alone": (
        ["run", "--train", "header.tsv", "--valid", "valid.tsv", "--test", "test.tsv"], 3,
        "Expected at least one event in train. Received: none.",
    ),
    "times that are none": (["run", "--train", "times.tsv", "--valid", "valid.tsv", "--test", "test.tsv"], 3, "Time"),
    "no event of the type": (["run", "--events", "clicks.csv"], 3, "Expected events of the types in event_types"),
    "more events than an item has": (
        setting("min_item_count=1000000"), 3,
        "Expected at least one item with 1000000 events",
    ),
    "an index that is not there": (
        ["recommend", "--index", "other", "--session", "i1"], 1, "Expected an index, a folder with saved_model.pb",
    ),
    "a query without a session": (["recommend", "--index", "other"], 2, "Expected one of --session or --item"),
    "one run to compare": (["compare", "other"], 2, "Expected at least two runs"),
    "a folder without a run": (["compare", "other", "other"], 1, "Expected an output folder with metrics.json"),
    "an unknown parameter to describe": (["parameters", "learning_rat"], 1, "Did you mean learning_rate"),
    "a serving location that is none": (["versions", "--serving", "ftp://models"], 1, "Expected"),
    "a cron of another kind": (
        ["schedule", "--name", "weekly", "--cron", "0 0 61 * * *", "--host", "http://localhost:1"], 1, "Expected",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_by_what_to_do(mistake, start, tmp_path):
    arguments, code, message = MISTAKES[mistake]
    found, _, errors = start(*arguments)
    assert message in errors
    assert found == code
    assert "Traceback" not in errors
    told = re.split(r"(?:two-tower|Error): ", errors, maxsplit=1)[1]
    assert told.count("\n") == (4 if code == 3 else 1)
    if code == 3:
        _, where, advice, log = told.splitlines()
        assert where.startswith("This was step ")
        assert "start the same command again" in advice
        assert Path(re.fullmatch("The log is (.*), beside what the steps made.", log)[1]).is_file()
    elif "--output" not in arguments:
        assert not (tmp_path / "output" / "runs").exists()  # no step has started


def test_there_are_forty():
    assert len(MISTAKES) >= 40


def test_two_runs_in_one_folder(start, tmp_path):
    with OutputFolder(tmp_path / "output"):
        code, _, errors = start("run", *SPLITS)
    assert code == 1
    assert "Wait until it ends or choose another folder" in errors


def fill(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


# What writes in each step.
WRITERS = {
    "ingest": (ingest_step.EventSorter, "add"),
    "vocabulary": (Vocabulary, "write"),
    "train": (train_step, "train"),
    "evaluate": (evaluate_step, "write_ranks"),
    "export": (export_step, "write_embeddings"),
}
STEPS = [pytest.param(name, marks=[pytest.mark.slow] * (name in ("evaluate", "export"))) for name in WRITERS]


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_is_said_in_each_step_and_what_was_done_stays(step, start, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(*WRITERS[step], fill)
        code, _, errors = start("run", *SPLITS, *SETTINGS)
    assert code == 3
    what, where, advice, log = errors.splitlines()[-4:]
    assert "No space left on device" in what
    assert f", {step}, after" in where
    assert advice == (
        f"Free space on the disk of {tmp_path / 'output'}, and start the same command again; steps that have succeeded "
        "are not repeated."
    )
    assert (Path(re.fullmatch("The log is (.*), beside what the steps made.", log)[1]).parent / "tasks").is_dir()


def test_ctrl_c_says_where_the_next_run_goes_on(start, monkeypatch, caplog):
    def interrupt(*_, **__):
        sys.stdout.write("[progress 30%] epoch 3/8  recall@20 0.166  21,000 targets/s\n")
        raise KeyboardInterrupt

    monkeypatch.setattr(train_step, "train_model", interrupt)
    code, _, errors = start("run", *SPLITS, *SETTINGS)
    assert code == 130
    assert "The run was interrupted in the step train. Start it again to go on from epoch 3." in caplog.text
    assert errors.endswith("two-tower: interrupted\n")
