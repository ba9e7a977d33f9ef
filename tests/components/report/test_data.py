"""The rows of drift in the sixth section, from measures worked by hand."""

import math

from html_page import Page as Parsed

from components.report.data import describe_data
from components.report.rendering import Page

SPLIT = {
    "num_events": 1_000, "num_sessions": 200, "num_items": 50, "first_time": 0, "last_time": 60_000,
    "unknown_item_share": 0.125,
}  # fmt: skip
REPORT = {
    "num_lines": 2_000,
    "num_rejected": 0,
    "rejected_by_reason": {},
    "findings": {"ties": 0},
    "funnel": {"read": 2_000, "dropped": {"event type: buy": 1_000}, "kept": {"train": 1_000}},
    "splits": {"train": SPLIT},
}


def render(report):
    body = Page({}).render_section("data", describe_data(report))
    return Parsed(f"<main>{body}</main>")


def test_the_rows_of_drift():
    drift = [
        {"name": "volume", "value": 1.0, "warn": 0.5, "fail": 2.0, "verdict": "warns"},  # twice as many events
        {"name": "session_length", "value": 0.00004, "warn": 0.25, "fail": 1.0, "verdict": "ok"},
        {"name": "lost_items", "value": 0.90625, "warn": 0.3, "fail": 0.8, "verdict": "fails"},
        {"name": "popularity", "value": 0.5, "warn": 0.3, "fail": math.inf, "verdict": "warns"},
    ]
    page = render({**REPORT, "drift": drift})
    texts = [(name, attributes, text) for name, attributes, text in page.elements if name in ("th", "td")]
    first = [text for _, _, text in texts].index("volume")
    rows = [[text for _, _, text in texts[begin : begin + 5]] for begin in range(first, first + 20, 5)]
    assert rows == [
        ["volume", "1.0000", "0.5", "2", "warns"],
        ["session length", "0.0000", "0.25", "1", "ok"],
        ["lost items", "0.9062", "0.3", "0.8", "fails"],
        ["popularity", "0.5000", "0.3", "never", "warns"],
    ]
    assert [text for _, text in page.find("td", **{"class": "unclear"})] == ["warns", "fails", "warns"]


def test_without_a_previous_run_nothing_was_measured():
    for report in (REPORT, {**REPORT, "drift": []}):
        assert "Not measured: this run was not given the events of a previous one." in [
            text for _, text in render(report).find("p")
        ]


def test_the_funnel_and_the_splits():
    page = render(REPORT)
    rows = [[text for _, text in page.find("th")], [text for _, text in page.find("td")]]
    assert {"lines read", "\N{EN DASH} event type: buy", "kept in train"} <= set(rows[0])
    assert {"2,000", "1,000", "100.0%", "50.0%", "1970-01-01 00:00", "1970-01-01 00:01", "12.5%"} <= set(rows[1])


def test_ids_that_are_probably_missing_values_are_named():
    page = render({**REPORT, "findings": {"null_texts": 7}, "null_texts": {"item NULL": 7}})
    assert {"null texts", "id item NULL"} <= {text for _, text in page.find("th")}
