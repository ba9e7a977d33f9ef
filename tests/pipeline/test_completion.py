"""Completion, as the shell asks for it."""

import pytest
from click.testing import CliRunner

from pipeline.__main__ import cli


def complete(words: str) -> list[str]:
    variables = {
        "_TWO_TOWER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    answer = CliRunner().invoke(cli, [], prog_name="two-tower", complete_var="_TWO_TOWER_COMPLETE", env=variables)
    return [line.partition(",")[2] for line in answer.output.split()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("two-tower comp", ["compare", "compile"]),
        ("two-tower parameters gate_max_p", ["gate_max_p99_ms"]),
        ("two-tower run --set learning_r", ["learning_rate=", "learning_rate_schedule="]),
        ("two-tower submit --set embedding_d", ["embedding_dim="]),
        ("two-tower run --set learning_rate=0.0", []),
        ("two-tower run --set nothing", []),
    ],
)
def test_commands_and_parameters_are_completed(words, expected):
    assert complete(words) == expected
