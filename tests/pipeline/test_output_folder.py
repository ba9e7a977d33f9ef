import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.core.run_artifacts import hold_run
from pipeline.__main__ import cli
from pipeline.local import RECORDS
from pipeline.output_folder import GATE_NAMES, OUTPUT_NAMES, OutputFolder, OutputFolderError, check_outside

ROOT = Path(__file__).parents[2]
FOLDERS = ("events", "model", "tensorboard", "index")
FILES = ("saved_model.pb", "variables.index", "variables.data")


def write_artifacts(folder, label):
    """Artifacts of a run, in each file of which its label stands."""
    for name in OUTPUT_NAMES.values():
        if name in FOLDERS:
            (folder / name).mkdir(parents=True)
            for part in FILES:
                (folder / name / part).write_text(label)
        else:
            (folder / name).write_text(label)


def read_artifacts(folder):
    """The label of each artifact's file that can be reached at its stable name."""
    labels = {}
    for name in OUTPUT_NAMES.values():
        for path in [folder / name / part for part in FILES] if name in FOLDERS else [folder / name]:
            if path.exists():
                labels[path] = path.read_text()
    return labels


def show(folder, label):
    with OutputFolder(folder) as output:
        run_dir = output.begin()
        write_artifacts(run_dir, label)
        output.publish(run_dir, {"label": label})
    return run_dir


def is_whole(folder, label):
    labels = read_artifacts(folder)
    return set(labels.values()) == {label} and len(labels) == len(FOLDERS) * len(FILES) + len(OUTPUT_NAMES) - len(
        FOLDERS
    )


def runs_in(folder):
    return sorted(path.name for path in (folder / "runs").iterdir())


def test_a_run_is_shown_with_all_its_artifacts_and_the_one_before_stays(tmp_path):
    made = [show(tmp_path / "output", label).name for label in ("a", "b", "c")]
    assert is_whole(tmp_path / "output", "c")
    assert runs_in(tmp_path / "output") == made[1:]
    assert json.loads((tmp_path / "output" / "run.json").read_text()) == {
        "id": made[2],
        "label": "c",
        "previous": made[1],
    }


def test_the_folder_can_be_moved(tmp_path):
    show(tmp_path / "output", "a")
    (tmp_path / "output").rename(tmp_path / "moved")
    assert is_whole(tmp_path / "moved", "a")
    show(tmp_path / "moved", "b")
    assert is_whole(tmp_path / "moved", "b")


def test_an_unfinished_run_is_not_shown_stays_and_goes_with_the_next(tmp_path):
    show(tmp_path, "a")
    with OutputFolder(tmp_path) as output:
        failed = output.begin()
        (failed / "events").mkdir()
        assert output.describe() == f"{tmp_path} still shows the run {output.current.name}."
    assert is_whole(tmp_path, "a")
    assert failed.exists()
    show(tmp_path, "b")
    assert not failed.exists()
    assert len(runs_in(tmp_path)) == 2


def test_a_link_to_what_the_newest_run_lacks_goes(tmp_path):
    with OutputFolder(tmp_path) as output:
        run_dir = output.begin(["notes.html"])
        (run_dir / "notes.html").write_text("a")
        output.publish(run_dir, {})
    assert (tmp_path / "notes.html").read_text() == "a"
    show(tmp_path, "b")
    assert not (tmp_path / "notes.html").is_symlink()


def test_only_runs_are_removed(tmp_path):
    """A folder `runs` may hold something else."""
    (tmp_path / "runs" / "monday").mkdir(parents=True)
    for label in ("a", "b", "c"):
        show(tmp_path, label)
    assert "monday" in runs_in(tmp_path)


@pytest.mark.parametrize("name", ["current", "events", "model", "run.log", "config.yaml", "records", "manifest.json"])
def test_what_is_not_of_a_run_is_refused_and_stays(tmp_path, name):
    show(tmp_path, "a")
    path = tmp_path / name
    path.unlink(missing_ok=True)
    for make in (lambda: path.write_text("mine"), path.mkdir):
        make()
        with (
            OutputFolder(tmp_path) as output,
            pytest.raises(OutputFolderError, match=rf"In {tmp_path}, {name} is not a link to a run, .* choose another"),
        ):
            output.begin({*GATE_NAMES.values(), RECORDS})
        assert path.is_dir() or path.read_text() == "mine"
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("name", ["current", "events", "run.log"])
def test_a_link_of_someone_else_is_refused_and_stays(tmp_path, name):
    (tmp_path / "mine").mkdir()
    for target in ("mine", "nowhere", str(tmp_path / "mine")):
        (tmp_path / name).symlink_to(target)
        with OutputFolder(tmp_path) as output, pytest.raises(OutputFolderError, match=f"{name} is not a link to a run"):
            output.begin()
        assert str((tmp_path / name).readlink()) == target
        (tmp_path / name).unlink()


def test_all_that_is_in_the_way_is_said(tmp_path):
    write_artifacts(tmp_path, "mine")
    with OutputFolder(tmp_path) as output, pytest.raises(OutputFolderError, match=r"vocabulary\.parquet are not links"):
        output.begin()
    assert is_whole(tmp_path, "mine")


@pytest.mark.parametrize(("folder", "is_refused"), [
    ("logs", True), ("logs/output", True), ("logs/a/b", True), ("link/output", True),
    ("output", False), ("logs2", False), ("logs/_output", False), ("logs/.work/output", False),
])  # fmt: skip
def test_a_folder_in_that_of_the_log_is_refused(tmp_path, monkeypatch, folder, is_refused):
    """The next run would read what this one wrote."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "link").symlink_to("logs")
    (tmp_path / "file.csv").touch()
    monkeypatch.chdir(tmp_path)
    context = pytest.raises(OutputFolderError, match="lies in logs, so the files") if is_refused else nullcontext()
    with context:
        check_outside(Path(folder), ["file.csv", "logs"])


def test_commands_refuse_an_output_folder_in_that_of_the_log(tmp_path):
    for command in (
        ["run", "--events", tmp_path, "--output", tmp_path / "output"],
        ["tune", "--events", tmp_path, "--output", tmp_path / "output"],
        ["check", tmp_path, "--keep", tmp_path / "output"],
        ["recommend", "--index", tmp_path, "--sessions", tmp_path, "--output", tmp_path / "output"],
    ):
        done = CliRunner().invoke(cli, [str(part) for part in command])
        assert isinstance(done.exception, OutputFolderError), done.output
        assert "Choose an output folder outside of it" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_refused():
    with (
        pytest.raises(OutputFolderError, match="The output folder /proc/output cannot be used: "),
        OutputFolder(Path("/proc/output")),  # where not even root may write
    ):
        pass


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputFolderError, match="cannot be used"), OutputFolder(tmp_path / "file" / "output"):
        pass


def test_a_second_run_into_the_folder_is_refused_until_the_first_has_ended(tmp_path):
    with OutputFolder(tmp_path):
        with pytest.raises(OutputFolderError, match=rf"Another run \(process {os.getpid()}\) writes to "):
            OutputFolder(tmp_path).__enter__()
        with OutputFolder(tmp_path / "other"):
            pass
    with OutputFolder(tmp_path):
        pass


def test_a_folder_without_locks_says_so(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    show(tmp_path, "a")
    show(tmp_path, "b")
    assert is_whole(tmp_path, "b")
    assert f"The file system of {tmp_path} does not support locks" in caplog.text


def test_a_run_that_is_read_stays(tmp_path):
    first = show(tmp_path, "a")
    with hold_run(tmp_path / "index") as index_dir:
        assert index_dir == first / "index"
        for label in ("b", "c", "d"):
            show(tmp_path, label)
        assert {path.read_text() for path in index_dir.iterdir()} == {"a"}
        assert (index_dir.parent / "metrics.json").read_text() == "a"
    show(tmp_path, "e")
    assert not first.exists()


def test_a_path_that_is_nowhere_is_given_back(tmp_path):
    with hold_run(tmp_path / "nothing" / "index") as path:
        assert path == tmp_path / "nothing" / "index"


# Shows a run in each folder that is named, one process each: the process of the n-th folder is killed before its n-th
# operation on the file system, or none where the first argument is "none". Prints how many operations there were.
SHOW_AND_KILL = """
import os, signal, sys
from pathlib import Path

from test_output_folder import show

mode, label, *folders = sys.argv[1:]


def show_until(folder, fatal):
    count = 0

    def watch(event, _):
        nonlocal count
        if event == "open" or event.startswith(("os.", "shutil.")):
            count += 1
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    show(folder, label)
    return count


for number, folder in enumerate(folders, start=1):
    child = os.fork()
    if not child:
        print(show_until(Path(folder), number if mode == "kill" else 0), flush=True)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if mode == "kill" and status != signal.SIGKILL:
        print(f"not killed: {folder}")
"""


def show_in_each(mode, label, folders):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    command = [sys.executable, "-c", SHOW_AND_KILL, mode, label, *map(str, folders)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split("\n")


def make_nothing(folder):
    folder.mkdir()


def make_one_run(folder):
    show(folder, "old")


def make_two_runs_and_a_failed_one(folder):
    show(folder, "older")
    show(folder, "old")
    with OutputFolder(folder) as output:
        write_artifacts(output.begin(), "failed")


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_nothing, make_one_run, make_two_runs_and_a_failed_one])
def test_a_kill_at_any_operation_leaves_all_old_or_all_new_and_the_next_run_repairs(make, tmp_path):
    template = tmp_path / "template"
    make(template)
    shutil.copytree(template, tmp_path / "whole", symlinks=True)
    num_operations = int(show_in_each("none", "new", [tmp_path / "whole"])[0])
    folders = [tmp_path / str(number) for number in range(1, num_operations + 1)]
    for folder in folders:
        shutil.copytree(template, folder, symlinks=True)
    assert show_in_each("kill", "new", folders) == [""]
    has_old = bool(read_artifacts(template))
    shown = ["new" if is_whole(each, "new") else "old" if is_whole(each, "old") else "" for each in folders]
    if not has_old:
        assert all(label == "new" or not read_artifacts(each) for label, each in zip(shown, folders, strict=True))
    else:
        assert set(shown) == {"old", "new"}
    assert shown == sorted(shown, reverse=has_old)  # once it is shown, it stays
    show_in_each("none", "newer", folders)
    for folder in folders:
        assert is_whole(folder, "newer")
        assert len(runs_in(folder)) <= 2
        assert {path.name for path in folder.iterdir()} == {
            *OUTPUT_NAMES.values(), "run.json", "current", "runs", ".lock",
        }  # fmt: skip
    print(f"{make.__name__}: {num_operations} of {num_operations} kill points, {shown.count('new')} of them all new")


SHOW_FOR_EVER = """
import itertools, sys
from pathlib import Path

from test_output_folder import show

for number in itertools.count(1):
    show(Path(sys.argv[1]), str(number))
"""


@pytest.mark.slow
def test_no_read_is_torn_while_runs_are_shown(tmp_path):
    """Runs follow each other far faster than a reader reads."""
    show(tmp_path, "0")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    writer = subprocess.Popen([sys.executable, "-c", SHOW_FOR_EVER, tmp_path], env=environment)
    labels = []
    try:
        for _ in range(1_000):
            with hold_run(tmp_path / "index") as index_dir:
                parts = [*index_dir.iterdir(), index_dir.parent / "metrics.json"]
                found = set()
                for path in parts:
                    found.add(path.read_text())
                    time.sleep(0.001)
                found.add(json.loads((index_dir.parent / "run.json").read_text())["label"])
            assert len(parts) == len(FILES) + 1
            assert len(found) == 1
            labels += found
        assert writer.poll() is None
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert len(set(labels)) > 100
    print(f"{len(labels)} loads, {len(set(labels))} runs seen of {max(map(int, labels))} shown, none torn")


@pytest.mark.parametrize("name", ["a?b", "a\\b"])
def test_a_path_that_duckdb_cannot_use_is_refused(tmp_path, name):
    with pytest.raises(OutputFolderError, match=r"contains \? or \\, which DuckDB cannot read and write"):
        OutputFolder(tmp_path / name)
