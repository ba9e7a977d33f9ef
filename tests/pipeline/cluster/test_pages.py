"""What the pages tell a reader to type is understood."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipeline.__main__ import cli
from pipeline.cluster.schedule_file import read_schedules

ROOT = Path(__file__).parents[3]
PAGES = ("pipeline/cluster/kubeflow/README.md", "pipeline/cluster/vertex/README.md")


def read_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def list_commands(page: str) -> list[list[str]]:
    text = "\n".join(read_blocks(page, "bash")).replace("\\\n", " ")
    variables = dict(re.findall(r'^(\w+)="(.*)"$', text, re.MULTILINE))
    for name, value in variables.items():
        text = text.replace(f"${name}", value)
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def list_all(command: click.Command) -> list[click.Command]:
    return [command, *(one for sub in getattr(command, "commands", {}).values() for one in list_all(sub))]


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_understood(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for command in list_all(cli):
        monkeypatch.setattr(command, "callback", lambda *_, **__: None)
    (tmp_path / "schedules.yaml").touch()
    monkeypatch.chdir(tmp_path)
    seen = set()
    for words in list_commands(page):
        if words[0] != "two-tower":
            continue
        done = CliRunner().invoke(cli, words[1:])
        assert done.exit_code == 0, f"{words}: {done.output}"
        seen.add(words[1])
    assert {"submit", "schedule"} <= seen <= set(cli.commands)


def test_the_schedules_of_the_page_are_understood(tmp_path: Path) -> None:
    (text,) = read_blocks("pipeline/cluster/kubeflow/README.md", "yaml")
    (tmp_path / "schedules.yaml").write_text(text)
    for target in ("kfp", "vertex"):
        (schedule,) = read_schedules(tmp_path / "schedules.yaml", target)
        assert schedule.submission.pipeline == "retraining"
