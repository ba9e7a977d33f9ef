"""The page of parameters is the one that the command makes of the components."""

from pathlib import Path

from click.testing import CliRunner

from components.train.parameters import TrainParameters
from pipeline.__main__ import cli
from pipeline.parameter_table import list_parameters

PAGE = (Path(__file__).parents[2] / "docs" / "parameters.md").read_text()


def test_the_page_is_up_to_date():
    made = CliRunner().invoke(cli, ["parameters", "--markdown"])
    assert made.output == PAGE, "two-tower parameters --markdown > docs/parameters.md"


def test_every_parameter_has_one_row():
    first_cells = [line.split(" | ")[0].removeprefix("| ") for line in PAGE.partition("## Presets")[0].splitlines()]
    for name in (*list_parameters(), *TrainParameters().to_dict()):
        assert first_cells.count(f"`{name}`") == 1, name


def test_rows_by_hand():
    assert "| `learning_rate` | number | `0.002` | finite and above 0 | Peak learning rate. |" in PAGE
    assert "| `train_path` | text | (required) |  | Log of the training sessions" in PAGE
    assert '| `session_column` | text | `SessionId` (ingest), `""` (sessionize) |' in PAGE


def test_the_command_takes_no_name_with_the_page():
    assert CliRunner().invoke(cli, ["parameters", "learning_rate", "--markdown"]).exit_code == 2
