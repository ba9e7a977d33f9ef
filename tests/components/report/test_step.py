import json
import unicodedata
from dataclasses import replace
from functools import reduce

import pytest
from factories import HOSTILE_IDS

from components.report.items import MAX_LENGTH
from components.report.step import make_report

SECTIONS = ["good", "where", "training", "examples", "catalogue", "data", "again"]


def look_up(document, pointer):
    return reduce(
        lambda part, key: part[int(key)] if isinstance(part, list) else part[key], pointer[1:].split("/"), document
    )


def test_every_number_is_that_of_the_metrics(page, sources):
    metrics = json.loads(sources.metrics_path.read_text())
    shown = page.find("data")
    assert len(shown) > 150
    for attributes, text in shown:
        value = look_up(metrics, attributes["data-path"])
        assert float(attributes["value"]) == value
        number = float(text.replace(",", "").replace("\N{MINUS SIGN}", "-").rstrip("%"))
        digits = len(text.rstrip("%").partition(".")[2])
        assert number == pytest.approx(value * (100 if text.endswith("%") else 1), abs=0.51 * 10**-digits), attributes


def test_model_and_every_baseline_are_shown_with_intervals(page, sources):
    metrics = json.loads(sources.metrics_path.read_text())
    shown = {attributes["data-path"] for attributes, _ in page.find("data")}
    for metric in ("recall@20", "mrr@20"):
        assert {f"/model/{metric}", f"/intervals/model/{metric}/0", f"/intervals/model/{metric}/1"} <= shown
        for baseline in metrics["baselines"]:
            assert {f"/baselines/{baseline}/{metric}", f"/intervals/ahead_of/{baseline}/{metric}/1"} <= shown
    for key in ("by_repeat", "by_prefix_length", "by_target_popularity", "by_recency"):
        for group in metrics[key]:
            assert {f"/{key}/{group}/recall@20", f"/strongest_baseline/{key}/{group}/recall@20"} <= shown
    for epoch in range(3):
        assert f"/selection/{epoch}/valid_recall@20" in shown
    for epoch in range(2):
        assert f"/refit/{epoch}/mean_loss" in shown


def test_the_sections_stand_in_order(page):
    assert [attributes["id"] for attributes, _ in page.find("h2")] == SECTIONS


def test_it_is_small_and_refers_to_nothing_outside(page, report_path):
    assert report_path.stat().st_size < 2_000_000
    names = {"src", "srcset", "href", "xlink:href", "data", "action", "poster", "background"}
    addresses = [value for _, attributes, _ in page.elements for name, value in attributes.items() if name in names]
    assert {"#good", "data:,"} <= set(addresses)
    assert all(address.startswith("#") or address == "data:," for address in addresses)
    (style,) = [text for _, text in page.find("style")]
    assert "url(" not in style
    assert "@import" not in style
    assert not {"script", "iframe", "object", "embed", "img"} & {name for name, _, _ in page.elements}
    assert not any(name.startswith("on") for _, attributes, _ in page.elements for name in attributes)


def test_every_image_has_a_text(page):
    images = page.find("svg")
    assert len(images) >= 10
    assert all(attributes["role"] == "img" and len(attributes["aria-label"]) > 30 for attributes, _ in images)
    assert page.find("img") == []


def test_the_text_of_an_image_has_its_values(page, sources):
    metrics = json.loads(sources.metrics_path.read_text())
    (text,) = [
        attributes["aria-label"] for attributes, _ in page.find("svg") if attributes["aria-label"][:6] == "recall"
    ]
    for summary in metrics["baselines"].values():
        assert f"{summary['recall@20']:.3f}" in text


def test_hostile_ids_are_text(page, sources):
    texts = {text for _, text in page.find("bdi")}
    shown = {
        example for each in json.loads(sources.examples_path.read_text())["examples"] for example in each["history"]
    }
    assert set(HOSTILE_IDS) <= shown
    for item_id in HOSTILE_IDS:
        if item_id not in ("7", "007", "<b>&amp;</b>"):  # those with titles
            # Whatever Unicode counts as a control, a format or a separator, but the space.
            escaped = "".join(
                ascii(each)[1:-1] if unicodedata.category(each)[0] in "CZ" and each != " " else each for each in item_id
            )
            assert (escaped if len(escaped) < 90 else f"{escaped[:89]}…") in texts, item_id
    assert all(text.isprintable() for text in texts)
    assert max(map(len, texts)) <= 6 * MAX_LENGTH


def test_titles_are_text_and_addresses_are_left_out(page):
    titles = {text for _, text in page.find("bdi") if text.startswith("<img")}
    assert titles == {f"<img src=x onerror=alert({number})>" for number in range(3)}
    assert "brand: a&b" in {text for _, text in page.find("bdi")}
    assert not any("shop.example" in text for _, text in page.find("body"))


def test_there_are_twenty_examples_with_the_hit_marked(page, sources):
    examples = json.loads(sources.examples_path.read_text())["examples"]
    lists = page.find("ol", **{"class": "top"})
    assert len(lists) == 2 * len(examples)
    assert len(examples) == 20
    hits = sum(example["target"] in example[name] for example in examples for name in ("model_top", "baseline_top"))
    assert len(page.find("li", **{"class": "hit"})) == hits > 0


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("examples_path", "{}", "Examples: KeyError"),
        ("index_check_path", "nothing", "Check of the index: JSONDecodeError"),
        ("embeddings_path", "nothing", "Catalogue: ArrowInvalid"),
    ],
)
def test_what_cannot_be_shown_is_said_and_the_rest_is_there(sources, tmp_path, name, content, problem):
    (tmp_path / "broken").write_text(content)
    problems = make_report(replace(sources, **{name: tmp_path / "broken"}), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert len(problems) == 1
    assert problems[0].startswith(problem)
    assert "This report is not complete" in text
    assert all(f'id="{section}"' in text for section in SECTIONS)


def test_an_item_table_that_is_gone_is_said(sources, tmp_path):
    (problem,) = make_report(sources, tmp_path / "report.html", items_path=str(tmp_path / "gone.csv"))
    assert problem.startswith("Titles of the items: FileNotFoundError")


def test_without_metrics_there_is_no_report(sources, tmp_path):
    with pytest.raises(FileNotFoundError):
        make_report(replace(sources, metrics_path=tmp_path / "gone.json"), tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_small_splits_are_said_in_the_headline(sources, tmp_path):
    data = json.loads((sources.events_dir / "report.json").read_text())
    data["splits"]["test"]["num_events"] = 2
    (tmp_path / "report.json").write_text(json.dumps(data))
    assert make_report(replace(sources, events_dir=tmp_path), tmp_path / "report.html") == []
    headline = (tmp_path / "report.html").read_text().partition('id="where"')[0]
    assert "test has 2 events; metrics on fewer than 100 events prove nothing. Look at the times" in headline


def test_titles_of_other_items_are_said(sources, page, tmp_path):
    assert any("items on this page have a title in the item table." in text for _, text in page.find("p"))
    (tmp_path / "items.csv").write_text("item,title\nsku-1,One\n")
    (problem,) = make_report(sources, tmp_path / "report.html", items_path=str(tmp_path / "items.csv"))
    assert problem.startswith("Titles of the items: ValueError: Expected the item table to have the ids of the log")
