"""What `make` itself prints."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Creates an environment whose programs print their names.
PYTHON = """#!/bin/sh
mkdir -p .venv/bin
for name in pip two-tower; do
  printf '#!/bin/sh\\necho %s\\n' "$name" > .venv/bin/$name
  chmod +x .venv/bin/$name
done
"""


def test_the_first_run_prints_one_line_about_the_installation_and_no_command_twice(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "components").mkdir()
    for name in ("components/requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    command = [shutil.which("make"), "run", f"PYTHON={python}"]
    # Under `make test` these would make it a make within a make, which prints more.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True, timeout=60)
    assert [line for line in done.stdout.splitlines() if line not in ("pip", "two-tower")] == [
        "Installing what the pipeline needs into .venv",
        "",
        "two-tower recommend --index output/index --session i7,i8,i12 -k 5 --exclude-seen",
    ]
