import json

import pytest
from factories import HOSTILE_IDS
from html_page import Page
from report_artifacts import make_sources

from components.report.step import make_report


@pytest.fixture(scope="session")
def sources(small_artifacts, hostile_artifacts, tmp_path_factory):
    """What the report of a run with hostile ids is made of."""
    folder = tmp_path_factory.mktemp("report")
    made = make_sources(hostile_artifacts, small_artifacts[0] / "report.json", folder)
    examples = json.loads(made.examples_path.read_text())
    # Of the hostile ids, each stands in the history of an example.
    for example, item_id in zip(examples["examples"] * 3, HOSTILE_IDS, strict=False):
        example["history"].append(item_id)
    made.examples_path.write_text(json.dumps(examples))
    return made


@pytest.fixture(scope="session")
def report_path(sources, tmp_path_factory):
    """The report with a table of titles, hostile ones too."""
    folder = tmp_path_factory.mktemp("page")
    rows = "\n".join(f'"{item_id}","<img src=x onerror=alert({number})>",a&b,https://shop.example/{number}.png'
                     for number, item_id in enumerate(("7", "<b>&amp;</b>", "007")))  # fmt: skip
    (folder / "items.csv").write_text(f"item,title,brand,image\n{rows}\n")
    path = folder / "report.html"
    assert make_report(sources, path, items_path=str(folder / "items.csv")) == []
    return path


@pytest.fixture(scope="session")
def page(report_path):
    return Page(report_path.read_text(encoding="utf-8"))
