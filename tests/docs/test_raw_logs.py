"""The commands of docs/your-data.md that lead from a public log to a table of metrics, each on a log of its shape."""

import re
import shlex
from pathlib import Path

import pytest
from in_process import tasks_in_process
from public_logs import NUM_ITEMS, name_item, write_log

from components.core.events import SPLITS, read_split
from components.core.logs.layout_table import LAYOUTS
from components.core.logs.layouts import suggest
from pipeline.__main__ import cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your-data.md").read_text()
SECTION = PAGE.partition("\n## Raw logs by layout\n")[2].partition("\n## ")[0]
COMMANDS = {line.split()[5]: line for line in re.findall(r"^```bash\n(two-tower run .*)\n```$", SECTION, re.MULTILINE)}
SMALL = ["max_epochs=1", "embedding_dim=8", "num_negatives=32", "batch_size=128", "query_tower=mean", "refit=False"]


def test_each_layout_has_a_command():
    assert list(COMMANDS) == list(LAYOUTS)
    for name, command in COMMANDS.items():
        assert re.fullmatch(rf"two-tower run --events \S+ --layout {re.escape(name)}( --as-of \S+)?", command)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_logs_of_these_tests_have_the_shape_of_their_layout(name, tmp_path):
    write_log(name, tmp_path / "log", num_sessions=3)
    lines = (tmp_path / "log").read_text().splitlines()
    assert suggest(lines[0]) == name
    if LAYOUTS[name].line:
        assert {suggest(line) for line in lines} == {name}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_split_the_raw_log(name, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    path, *options = shlex.split(COMMANDS[name])[3:]
    write_log(name, tmp_path / path)
    cli.main(["check", path, *options, "--keep", "kept"], standalone_mode=False)
    shown = capfd.readouterr().out
    assert "events read " in shown
    assert "lines were rejected" not in shown
    for split in SPLITS:
        items = set(read_split(tmp_path / "kept", split)["item_id"].to_pylist())
        assert items
        assert items <= {name_item(name, number) for number in range(NUM_ITEMS)}


# What follows the events is the same for all layouts.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["retailrocket", "otto", "diginetica"])
def test_a_command_leads_from_the_raw_log_to_a_table_of_metrics_and_to_recommendations(
    name, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    arguments = shlex.split(COMMANDS[name])[1:]
    write_log(name, tmp_path / arguments[2])
    settings = [option for setting in SMALL for option in ("--set", setting)]
    with tasks_in_process():
        cli.main([*arguments, *settings, "--output", "output"], standalone_mode=False)
    shown = capfd.readouterr().out
    assert "Events: 4," in shown
    assert "│ model (mean) " in shown
    assert "lines were rejected" not in shown
    cli.main(["recommend", "--index", "output", "--item", name_item(name, 7), "-k", "3"], standalone_mode=False)
    shown, errors = capfd.readouterr()
    items = [line.partition("\t")[0] for line in shown.splitlines()]
    assert len(items) == 3
    assert set(items) <= {name_item(name, number) for number in range(NUM_ITEMS)}
    assert "unknown to the index" not in errors
