import json
from html.parser import HTMLParser

import pytest
from factories import HOSTILE_IDS
from report_artifacts import make_sources

from components.report.step import make_report


class Page(HTMLParser):
    """The elements of a page: name, attributes and the text inside, in the order in which they end."""

    VOID = {"meta", "link", "br"}  # noqa: RUF012

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag in self.VOID:
            self.elements.append((tag, dict(attributes), ""))
        else:
            self.open.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            name, attributes, texts = self.open.pop()
            assert name == tag
            self.elements.append((name, attributes, "".join(texts)))

    def handle_data(self, data):
        for _, _, texts in self.open:
            texts.append(data)

    def find(self, tag, **wanted):
        return [
            (attributes, text)
            for name, attributes, text in self.elements
            if name == tag and wanted.items() <= attributes.items()
        ]


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
