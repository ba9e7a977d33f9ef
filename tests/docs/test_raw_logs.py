"""The commands of docs/your-data.md that lead from a public log to a table of metrics, each on a log of its shape."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from public_logs import NUM_ITEMS, name_item, write_log

from components.core.logs.layout_table import LAYOUTS
from components.core.logs.layouts import suggest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your-data.md").read_text()
SECTION = PAGE.partition("\n## Raw logs by layout\n")[2].partition("\n## ")[0]
COMMANDS = {line.split()[-1]: line for line in re.findall(r"^```bash\n(two-tower run .*)\n```$", SECTION, re.MULTILINE)}
SMALL = ["max_epochs=1", "embedding_dim=8", "num_negatives=32", "batch_size=128", "query_tower=mean", "refit=False"]


def two_tower(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_layout_has_a_command():
    assert list(COMMANDS) == list(LAYOUTS)
    for name, command in COMMANDS.items():
        assert re.fullmatch(rf"two-tower run --events \S+ --layout {re.escape(name)}", command)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_logs_of_these_tests_have_the_shape_of_their_layout(name, tmp_path):
    write_log(name, tmp_path / "log", num_sessions=3)
    lines = (tmp_path / "log").read_text().splitlines()
    assert suggest(lines[0]) == name
    if LAYOUTS[name].line:
        assert {suggest(line) for line in lines} == {name}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_leads_from_the_raw_log_to_a_table_of_metrics_and_to_recommendations(name, tmp_path):
    arguments = shlex.split(COMMANDS[name])[1:]
    write_log(name, tmp_path / arguments[2])
    settings = [option for setting in SMALL for option in ("--set", setting)]
    done = two_tower(tmp_path, *arguments, *settings, "--output", "output")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nevents read " in done.stdout
    assert "│ model (mean) " in done.stdout
    assert "lines were rejected" not in done.stdout
    done = two_tower(tmp_path, "recommend", "--index", "output", "--item", name_item(name, 7), "-k", "3")
    assert (done.returncode, done.stderr) == (0, "")
    items = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert len(items) == 3
    assert set(items) <= {name_item(name, number) for number in range(NUM_ITEMS)}
