"""The commands and the spaces of docs/tuning.md."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from in_process import tasks_in_process

from components.suggest.spaces import SPACES, parse_space
from pipeline.__main__ import cli
from pipeline.search_space import check_space

PAGE = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text()
COMMANDS = re.findall(r"^(two-tower (?:tune|run|compile) .+)$", PAGE, re.MULTILINE)
SMALL = ["query_tower=mean", "embedding_dim=8", "num_negatives=32", "batch_size=256", "max_epochs=1"]
# Small, and without what makes the model large.
SPACE = "learning_rate: {low: 0.002, high: 0.02, log: true}\ndropout: {low: 0.0, high: 0.4, step: 0.1}"


def test_the_default_space_is_the_shipped_one():
    block = re.search(r"<!-- space default -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
    assert yaml.safe_load(block) == SPACES["default"]


def test_every_space_of_the_page_is_accepted():
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        check_space(parse_space(block), {})


def test_the_compile_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (command,) = (each for each in COMMANDS if each.startswith("two-tower compile"))
    done = CliRunner().invoke(cli, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    assert "two-tower-tuning" in (tmp_path / "tuning.yaml").read_text()


def test_the_options_of_each_command_exist():
    for command in COMMANDS:
        name, *arguments = shlex.split(command)[1:]
        cli.commands[name].make_context(name, arguments)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_leads_to_a_configuration_that_run_takes(small_log, tmp_path, monkeypatch, capfd):
    """The page's commands over split logs, with a small space and small trainings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    for split, path in small_log.items():
        (tmp_path / f"{split}.tsv").write_bytes(path.read_bytes())
    (tmp_path / "space.yaml").write_text(SPACE)
    (tune,) = (each for each in COMMANDS if each.startswith("two-tower tune --train"))
    options = [*shlex.split(tune)[2:], "--trials", "2", "--space", "space.yaml"]
    options += [option for setting in SMALL for option in ("--set", setting)]
    with tasks_in_process():
        cli.main(["tune", *options], standalone_mode=False)
    shown = capfd.readouterr().out
    assert "2 trials; objective = recall@20 + MRR@20 on valid" in shown
    assert "Trained with refit; " in shown
    document = json.loads((tmp_path / "tuned" / "trials.json").read_text())
    best = max(document["trials"], key=lambda trial: trial["value"])
    config = yaml.safe_load((tmp_path / "tuned" / "config.yaml").read_text())
    # The pipeline over split logs publishes nothing that a training could start from.
    expected = {name: value for name, value in best["parameters"].items() if name != "warm_start"}
    assert {name: config[name] for name in expected} == {**expected, "refit": True}
    assert (tmp_path / "tuned" / "best").is_dir() == (best["number"] != 1)
    page = (tmp_path / "tuned" / "search.html").read_text()
    assert "On the test sessions" in page

    # Nothing is done again, and the result is the same.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "tuned").rglob("metrics.json")}
    with tasks_in_process():
        cli.main(["tune", *options, "--json", "-q"], standalone_mode=False)
    result = json.loads(capfd.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "tuned").rglob("metrics.json")} == before
    assert json.loads((tmp_path / "tuned" / "trials.json").read_text()) == document
    assert result["best"]["number"] == best["number"]
    tested = json.loads((tmp_path / "tuned" / ("best" if best["point"] else "preset") / "metrics.json").read_text())
    assert result["test"]["values"]["recall@20"][-1] == tested["model"]["recall@20"]

    (run,) = (each for each in COMMANDS if each.startswith("two-tower run --config"))
    with tasks_in_process():
        cli.main(shlex.split(run)[1:], standalone_mode=False)
    again = json.loads((tmp_path / "runs" / "tuned" / "metrics.json").read_text())
    assert again["model"] == tested["model"]
