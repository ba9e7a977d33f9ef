"""The commands, YAML blocks and links of the documentation are right."""

import re
import shlex
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from components.train.parameters import TrainParameters
from pipeline.__main__ import cli
from pipeline.cluster.schedule_file import read_schedules
from pipeline.platform_settings import NO_SETTINGS, PlatformSettings

ROOT = Path(__file__).parents[3]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
# Pages with commands, and the commands of two-tower that each of them explains.
COMMANDS = {
    "docs/kubeflow.md": {"run", "compile", "submit", "schedule", "runs"},
    "docs/vertex.md": {"submit", "schedule"},
    "docs/distributed-training.md": {"compile"},
    "docs/sessionize.md": {"run"},
    "docs/your-data.md": {"run", "check"},
    "docs/production.md": {"run", "submit", "schedule"},
    "docs/report.md": {"run"},
    "docs/running.md": {"run", "parameters", "compare"},
    "docs/serving-location.md": {"versions", "rollback"},
    "docs/serving.md": {"serve"},
    "docs/recommending.md": {"recommend"},
    "docs/extending.md": {"run", "compare"},
    "docs/tuning.md": {"tune", "run", "compile", "submit"},
}


def read_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def list_commands(page: str) -> list[list[str]]:
    text = "\n".join(read_blocks(page, "bash")).replace("\\\n", " ")
    text = re.sub(r"\$\(.*?\)", "two-tower:0.1.0-0123456789ab", text)  # the name that `make image` prints
    # A variable's value may contain those defined before it.
    for name, value in reversed(re.findall(r'^(\w+)="(.*)"$', text, re.MULTILINE)):
        text = text.replace(f"${name}", value)
    return [words for line in join_quoted(text.splitlines()) if (words := shlex.split(line, comments=True))]


def join_quoted(lines: list[str]) -> list[str]:
    """Joins the lines of each command that has a quoted text of several lines."""
    joined: list[str] = []
    is_open = False
    for line in lines:
        if is_open:
            joined[-1] += f"\n{line}"
        else:
            joined.append(line)
        is_open = joined[-1].count("'") % 2 == 1
    return joined


def list_all(command: click.Command) -> list[click.Command]:
    return [command, *(one for sub in getattr(command, "commands", {}).values() for one in list_all(sub))]


@pytest.mark.parametrize("page", COMMANDS)
def test_commands_are_understood(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for command in list_all(cli):
        monkeypatch.setattr(command, "callback", lambda *_, **__: None)
    (tmp_path / "schedules.yaml").touch()
    monkeypatch.chdir(tmp_path)
    seen = set()
    for words in list_commands(page):
        if words[0] == "two-tower":
            done = CliRunner().invoke(cli, words[1:])
            assert done.exit_code == 0, f"{words}: {done.output}"
            seen.add(words[1])
    assert seen == COMMANDS[page]


def test_every_page_with_commands_is_checked() -> None:
    assert {page for page in PAGES if any(words[0] == "two-tower" for words in list_commands(page))} == set(COMMANDS)


@pytest.mark.parametrize("page", COMMANDS)
def test_make_has_the_targets(page: str) -> None:
    make = shutil.which("make")
    assert make
    for words in list_commands(page):
        if words[0] == "make":
            done = subprocess.run([make, "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, f"{words}: {done.stderr}"


def test_the_schedules_of_the_page_are_understood(tmp_path: Path) -> None:
    pods, text = read_blocks("docs/kubeflow.md", "yaml")
    (tmp_path / "pods.yaml").write_text(pods)
    assert PlatformSettings.read(tmp_path / "pods.yaml") != NO_SETTINGS
    (tmp_path / "schedules.yaml").write_text(text)
    for target in ("kfp", "vertex"):
        (schedule,) = read_schedules(tmp_path / "schedules.yaml", target)
        assert schedule.submission.pipeline == "retraining"


def test_the_training_of_several_workers_is_understood() -> None:
    (text,) = read_blocks("docs/distributed-training.md", "yaml")
    (container,) = yaml.safe_load(text)["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    assert container["command"][:3] == ["python", "-m", "components.train"]
    given = {option.partition("=")[0] for option in container["command"][3:]}
    required = {"--events", "--vocabulary", "--model", "--tensorboard"}
    parameters = {f"--{field.name.replace('_', '-')}" for field in fields(TrainParameters)}
    assert required <= given <= required | parameters | {"--checkpoint-root"}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.is_file(), link
        if not anchor:
            continue
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, link
