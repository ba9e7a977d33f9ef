import re

import pytest

from components.suggest.chart import _place, draw_trials
from components.suggest.page import make_page
from components.suggest.spaces import Dimension, parse_space

SPACE = parse_space("learning_rate: {low: 0.001, high: 0.1, log: true}\nquery_tower: {choices: [mean, gru, last_item]}")


def trial(number, value, **parameters):
    return {
        "number": number, "parameters": {"learning_rate": 0.01, "query_tower": "gru", **parameters}, "error": "",
        "state": "complete", "value": value, "recall@20": value - 0.1, "mrr@20": 0.1, "best_epoch": 2, "epochs": 3,
        "duration": 61.4,
    }  # fmt: skip


TRIALS = [
    trial(1, 0.5),
    trial(2, 0.75, learning_rate=0.0316228, query_tower="mean"),
    {**trial(3, 0.0), "state": "failed", "value": None, "error": "<script>alert('x')</script>"},
]


def test_places_on_a_row():
    assert _place(Dimension(low=0.0, high=4.0), 1.0) == 0.25
    assert _place(Dimension(low=0.001, high=0.1, log=True), 0.01) == pytest.approx(0.5)
    assert [_place(Dimension(choices=("a", "b", "c")), each) for each in "abc"] == [0.0, 0.5, 1.0]
    assert _place(Dimension(low=8, high=64, step=8), 128) == 1.0


def test_a_line_per_complete_trial_and_a_text_for_those_who_do_not_see_it():
    chart = draw_trials(SPACE, TRIALS)
    assert chart.text == "trial 1: objective 0.5000; trial 2 (best): objective 0.7500"
    assert 'role="img" aria-label="Values and objective of each trial. trial 1: objective 0.5000; trial 2' in chart.svg
    assert chart.svg.count('stroke="var(--accent)"') == 1
    for label in ("learning_rate", "query_tower", "objective", "0.001", "mean", "last_item"):
        assert label in chart.svg


def test_the_page_has_every_trial_the_best_first_and_needs_no_network():
    page = make_page(SPACE, TRIALS)
    assert re.findall(r'<tr(?: class="best")?><th scope="row">(\d)</th>', page) == ["2", "1", "3"]
    assert "<p>3 trials, of which 1 failed. The best is trial 2, with an objective of\n0.7500: recall@20 0.6500" in page
    assert "<td>2 of 3</td><td>61</td>" in page
    assert "<td>0.03162</td><td>mean</td>" in page
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)
    assert "On the test sessions" not in page


def test_what_a_trial_says_is_text():
    page = make_page(SPACE, TRIALS)
    assert "<script" not in page
    assert "failed: &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page


def test_the_results_on_test():
    final = {
        "caption": "7 targets",
        "titles": ["preset", "best"],
        "rows": [["recall@20", "0.1", "0.2"]],
        "verdict": "Better.",
    }
    page = make_page(SPACE, TRIALS, final=final)
    assert '<th scope="row">recall@20</th><td>0.1</td><td>0.2</td></tr>' in page
    assert "<p>Better.</p>" in page


def test_no_trial_yet_and_equal_values():
    assert "0 trials, none complete" in make_page(SPACE, [])
    assert "The best is trial 1" in make_page(SPACE, [trial(1, 0.5), trial(2, 0.5)])
