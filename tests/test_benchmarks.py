import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "tests" / "benchmarks"
# For each benchmark: arguments that make it tiny, a pattern of the lines with figures, and how many there are.
RUNS = {
    "front_door.py": (
        "--ingest-rows 2000 --sessionize-rows 3000 --turns 1",
        r"run_\w+ +[\d.]+ s +[\d.]+ s of CPU .*GiB",
        6,
    ),
    "fuzz_log_reader.py": ("--cases 30 --lines 5", r"\d+ \.\w+ \w+: (read|refused)", 9),
    "index.py": (
        "--items 2000 --queries 64 --dim 16 -k 10 --only usearch brute_force",
        r"(product|brute_force) .* queries/s|usearch: cannot be imported, libstdc\+\+\.so\.6: version not found$",
        3,
    ),
    "ranking.py": ("--queries 50 --items 400 --dim 8 --tfrs", r"(product|ranks|top 20|by +[\d,]+) +[\d.]+ s", 5),
    "retraining_weeks.py": (
        "--epochs 1 --unpoisoned --weeks 2025-01-31 2025-02-07",
        r"\d{4}-\d\d-\d\d, .*: (published|refused) after|versions|recommended",
        4,
    ),
    "serving.py": (
        "--items 50 --dim 16 --clients 20 --seconds 1 --overload-clients 40 --requests 400",
        r"[\w ]+ +[\d,]+ clients +[\d,]+/s  p50 .* ms of CPU  200: |mean batch \d|memory: |restart: ",
        8 + 2 + 2 + 1,
    ),
    "scale.py": (
        "--items 300",
        r"(ingest|vocabulary|train|evaluate|export) +[\d.]+ s +[\d.]+ GiB|/s [\d,]+, recall@20 0\.\d",
        6,
    ),
}
DOCUMENTED = re.compile(r"python (tests/benchmarks/\w+\.py)((?: +(?:--[\w-]+|[\w.]+))*)")


def run(name, *arguments, **variables):
    return subprocess.run(
        [sys.executable, BENCHMARKS / name, *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **variables},
    )  # fmt: skip


def test_every_benchmark_is_run_here():
    assert set(RUNS) == {path.name for path in BENCHMARKS.glob("*.py")}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_benchmark_prints_its_figures(name, tmp_path):
    """Also where a package that a benchmark could measure is broken."""
    (tmp_path / "usearch").mkdir()
    (tmp_path / "usearch" / "__init__.py").write_text("raise ImportError('libstdc++.so.6: version\\nnot found')")
    arguments, line, num_lines = RUNS[name]
    ran = run(name, *arguments.split(), PYTHONPATH=str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert len(re.findall(line, ran.stdout, flags=re.MULTILINE)) == num_lines, ran.stdout


@pytest.mark.parametrize("name", RUNS)
def test_a_benchmark_without_its_packages_says_what_to_do(tmp_path, name):
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError('No module named numpy')")
    ran = run(name, PYTHONPATH=str(tmp_path))
    assert ran.returncode == 1
    assert ran.stderr == "This benchmark needs what `make install` installs. Received: No module named numpy\n"


@pytest.mark.slow
def test_documented_commands_have_options_that_are_there():
    """In the documentation and in the benchmarks themselves."""
    paths = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile", *BENCHMARKS.glob("*.py")]
    commands = {match for path in paths for match in DOCUMENTED.findall(path.read_text())}
    assert {Path(script).name for script, _ in commands} == set(RUNS)
    for script in RUNS:
        usage = run(script, "--help").stdout
        texts = [text for name, text in commands if Path(name).name == script]
        unknown = [option for text in texts for option in re.findall(r"--[\w-]+", text) if option not in usage]
        assert not unknown, script
