"""The page names every parameter and every rule of the gate, with the defaults of the code."""

import re
from dataclasses import fields
from pathlib import Path

from components.core.intake.acceptance import Acceptance
from components.gate.parameters import GateParameters
from components.gate.rules import RULES

PAGE = (Path(__file__).parents[2] / "docs" / "production.md").read_text()


def rows_below(heading: str) -> list[list[str]]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]


def test_the_bounds_and_their_defaults():
    stated = {}
    for row in rows_below("The rules and their bounds"):
        if len(row) == 4 and row[2].startswith("`"):
            stated.setdefault(row[2].strip("`"), set()).add(row[3])
        elif len(row) == 3 and row[0].startswith("`"):
            stated[row[0].strip("`")] = {row[1]}
    defaults = {field.name: field.default for field in fields(GateParameters) if field.name != "acceptance"}
    defaults |= {field.name: field.default for field in fields(Acceptance)}
    assert stated.keys() == defaults.keys()
    for name, default in defaults.items():
        if name not in ("gate_baselines", "drift_bounds"):
            shown = {bool: str(default).lower(), tuple: "", str: ""}.get(type(default), f"{default}")
            assert stated[name] == {shown}, name


def test_the_rules_in_their_order():
    names = [row[0] for row in rows_below("The rules and their bounds") if len(row) == 4 and row[0].startswith("`")]
    assert [name.strip("`") for name in names] == list(RULES)


def test_links_within_the_page():
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", PAGE, re.M)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= anchors
