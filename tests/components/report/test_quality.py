"""The first section: what it says of each outcome, with values worked by hand."""

import copy
import re

import pytest
from html_page import Page as Parsed

from components.report.charts import Dot, draw_dots
from components.report.quality import describe_leads, describe_quality, judge
from components.report.rendering import Page

A, U, B = "clearly ahead", "not clearly ahead", "behind"
UP, AROUND, DOWN = [0.01, 0.03], [-0.01, 0.02], [-0.04, -0.02]
METRICS = {
    "model": {"recall@5": 0.3, "mrr@5": 0.1, "recall@20": 0.5, "mrr@20": 0.25},
    "baselines": {
        "stan": {"recall@5": 0.28, "mrr@5": 0.2, "recall@20": 0.48, "mrr@20": 0.245},
        "v_sknn": {"recall@5": 0.31, "mrr@5": 0.1, "recall@20": 0.49, "mrr@20": 0.28},
        "popularity": {"recall@5": 0.01, "mrr@5": 0.01, "recall@20": 0.02, "mrr@20": 0.01},
    },
    "intervals": {
        "model": {"recall@20": [0.48, 0.52], "mrr@20": [0.24, 0.26], "recall@5": [0.2, 0.4], "mrr@5": [0.0, 0.2]},
        "ahead_of": {
            "stan": {"recall@20": UP, "mrr@20": AROUND, "recall@5": UP, "mrr@5": UP},
            "v_sknn": {"recall@20": AROUND, "mrr@20": DOWN, "recall@5": UP, "mrr@5": UP},
            "popularity": {"recall@20": [0.47, 0.49], "mrr@20": [0.2, 0.3], "recall@5": UP, "mrr@5": UP},
        },
    },
    "num_targets": 1_234,
    "num_items": 2_000,
    "num_unknown_targets": 12,
    "champion": {"status": "none", "reason": "s3://shop/models holds no version"},
}
COMPARED = {
    "status": "compared",
    "version": 3,
    "num_targets": 1_234,
    "model": {"recall@20": 0.5, "mrr@20": 0.25},
    "champion": {"recall@20": 0.48, "mrr@20": 0.27},
    "ahead": {"recall@20": UP, "mrr@20": DOWN},
}


def render(metrics, **more):
    body = Page(metrics).render_section(
        "good", {"index_check": None, "small_splits": "", **describe_quality(metrics), **more}
    )
    return Parsed(f"<main>{body}</main>")


def plain(text):
    """The text on one line, in ASCII's minus sign and apostrophe."""
    return " ".join(text.replace("\N{MINUS SIGN}", "-").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())


def text_of(page, tag="main", **attributes):
    (found,) = page.find(tag, **attributes)
    return plain(found[1])


def cells(page, number):
    """The rows of a table of the page, each as the texts of its cells."""
    tables, row = [[]], []
    for name, _, text in page.elements:
        if name in ("th", "td"):
            row.append(plain(text))
        elif name == "tr":
            tables[-1].append(row)
            row = []
        elif name == "table":
            tables.append([])
    return tables[number]


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ([0.001, 0.2], A), ([0.0, 0.2], U), ([-0.1, 0.2], U), ([-0.1, 0.0], U), ([0.0, 0.0], U), ([-0.1, -0.001], B),
    ],
)  # fmt: skip
def test_what_an_interval_means(bounds, verdict):
    assert judge(bounds) == verdict


@pytest.mark.parametrize(
    ("leads", "expected"),
    [
        ({}, ""),
        ({"STAN": (A, A)}, "The model is clearly ahead of STAN in recall and MRR."),
        (
            {"STAN": (A, A), "kNN": (A, A), "pop": (A, A)},
            "The model is clearly ahead of all 3 baselines in recall and MRR.",
        ),
        ({"STAN": (B, B)}, "The model is behind STAN (recall, MRR)."),
        ({"STAN": (U, U)}, "The model is not clearly ahead of STAN (recall, MRR)."),
        ({"STAN": (B, B), "kNN": (B, B)}, "The model is behind all 2 baselines in recall and MRR."),
        (
            {"STAN": (U, U), "kNN": (U, U)},
            "The model is not clearly ahead of any of the 2 baselines in recall or MRR.",
        ),
        # Each baseline has something said of it: no "others" are left.
        (
            {"STAN": (A, U), "kNN": (B, A)},
            "The model is behind kNN (recall). It is not clearly ahead of STAN (MRR).",
        ),
        (
            {"STAN": (B, U), "kNN": (A, A)},
            "The model is behind STAN (recall). It is not clearly ahead of STAN (MRR). It is clearly ahead of kNN in "
            "recall and MRR.",
        ),
        (
            {"STAN": (B, B), "kNN": (A, B), "rules": (U, A), "Markov": (A, U), "item": (U, A)}
            | {"popularity": (A, A), "session popularity": (A, A)},
            "The model is behind STAN (recall, MRR) and kNN (MRR). It is not clearly ahead of rules (recall), Markov "
            "(MRR) or item (recall). It is clearly ahead of the other 2 baselines in recall and MRR.",
        ),
    ],
)  # fmt: skip
def test_the_headline_says_what_is_true_of_each_baseline(leads, expected):
    verdicts = {label: dict(zip(("recall", "MRR"), each, strict=True)) for label, each in leads.items()}
    assert describe_leads(verdicts) == expected


def test_the_headline_and_the_table_by_hand():
    page = render(METRICS)
    assert text_of(page, "p", **{"class": "lead"}) == (
        "For 50.0% of the targets, the item that came next is among the model's first 20. The model is behind V-SKNN "
        "(MRR). It is not clearly ahead of V-SKNN (recall) or STAN (MRR). It is clearly ahead of popularity in recall "
        "and MRR."
    )
    assert cells(page, 0) == [
        ["recommender", "recall@20", "MRR@20", "the model's lead in recall", "in MRR"],
        ["two-tower", "0.500 [0.480, 0.520]", "0.250 [0.240, 0.260]", "", ""],
        ["V-SKNN", "0.490", "0.280", "-0.010 to +0.020not clearly ahead", "-0.040 to -0.020behind"],
        ["STAN", "0.480", "0.245", "+0.010 to +0.030", "-0.010 to +0.020not clearly ahead"],
        ["popularity", "0.020", "0.010", "+0.470 to +0.490", "+0.200 to +0.300"],
    ]
    names = [text for _, text in page.find("dt")]
    values = [plain(text) for _, text in page.find("dd")]
    assert names == ["recall@20", "MRR@20", "lead in recall over V-SKNN", "unknown targets"]
    assert values == [
        "0.500", "[0.480, 0.520]", "0.250", "[0.240, 0.260]", "+0.010", "-0.010 to +0.020", "12",
        "not in the vocabulary; they count as misses",
    ]  # fmt: skip


def test_the_highest_cut_off_stands_for_20_where_that_was_not_computed():
    metrics = copy.deepcopy(METRICS)
    for summary in (metrics["model"], *metrics["baselines"].values()):
        del summary["recall@20"], summary["mrr@20"]
    page = render(metrics)
    assert text_of(page, "p", **{"class": "lead"}) == (
        "For 30.0% of the targets, the item that came next is among the model's first 5. The model is clearly ahead of "
        "all 3 baselines in recall and MRR."
    )
    assert cells(page, 0)[0][1:3] == ["recall@5", "MRR@5"]
    # Of the strongest baseline by recall@5, V-SKNN, and with a minus where the model's recall is lower.
    assert [text for _, text in page.find("dt")][2] == "lead in recall over V-SKNN"
    assert plain([text for _, text in page.find("dd")][4]) == "-0.010"


@pytest.mark.parametrize(
    ("champion", "heading", "reason"),
    [
        (METRICS["champion"], "Against the published model", "s3://shop/models holds no version"),
        (
            {"status": "unreadable", "reason": "No serving location was given (serving_uri)"},
            "Against the published model",
            "No serving location was given (serving_uri)",
        ),
        (
            {"status": "unreadable", "reason": "OSError: <b>no\nroute</b>\x1b to host."},
            "Against the published model",
            "OSError: <b>no route</b> to host",
        ),
        ({"status": "unreadable", "reason": "x" * 900}, "Against the published model", "x" * 499 + "…"),
        ({"status": "unreadable"}, "Against the published model", "unreadable"),
        (
            {"status": "too_few_targets", "version": 7, "num_targets": 0, "reason": "No target is left"},
            "Against the published model, version 7",
            "No target is left",
        ),
    ],
)
def test_a_champion_that_was_not_compared_is_there_with_the_reason(champion, heading, reason):
    page = render({**METRICS, "champion": champion})
    assert text_of(page, "h3") == heading
    assert f"Not compared: {reason}." in text_of(page)
    assert len(page.find("table")) == 1


@pytest.mark.parametrize(("bounds", "verdict", "shown"), [
    (UP, A, "+0.010 to +0.030"), (AROUND, U, "-0.010 to +0.020"), (DOWN, B, "-0.040 to -0.020"),
])  # fmt: skip
def test_a_champion_that_was_compared(bounds, verdict, shown):
    page = render({**METRICS, "champion": {**COMPARED, "ahead": {"recall@20": bounds, "mrr@20": DOWN}}})
    assert text_of(page, "h3") == "Against the published model, version 3"
    assert cells(page, 1) == [
        ["metric", "this model", "published", "this model's lead", ""],
        ["recall@20", "0.500", "0.480", shown, verdict],
        ["MRR@20", "0.250", "0.270", "-0.040 to -0.020", B],
    ]
    assert "On the 1,234 targets of sessions that begin after the newest event" in text_of(page)
    assert "Not compared" not in text_of(page)


def test_the_ticks_of_small_metrics_differ():
    dots = [Dot(label="a", value=0.016, series="two-tower"), Dot(label="b", value=0.012, series="other")]
    chart = draw_dots(dots, title="MRR@20", metric="mean", model="two-tower")
    numbers = [float(text) for text in re.findall(r">(0(?:\.\d+)?)</text>", chart.svg)]
    assert len(numbers) >= 3
    # Numbers at equal distances: nothing was rounded away.
    assert numbers == pytest.approx([number * numbers[1] for number in range(len(numbers))])


def test_a_result_that_proves_nothing_is_said_in_the_headline():
    assert render(METRICS).find("p", **{"class": "warning"}) == []
    page = render({**METRICS, "num_targets": 1, "num_items": 9}, small_splits="test has 2 events; ...")
    warnings = [plain(text) for _, text in page.find("p", **{"class": "warning"})]
    assert warnings[0] == "test has 2 events; ...."
    assert warnings[1].startswith("The test has 1 target: with fewer than 30, neither the metrics nor their intervals")
    assert warnings[2] == "Among 9 items, every ranking has the same recall@20."
