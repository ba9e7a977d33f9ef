import io
import sys

import pytest
from rich.console import Console

from pipeline.presets import get_preset
from pipeline.summary import describe_funnel, make_metrics_table, open_console, print_comparison, print_summary

METRICS = {
    "model": {"recall@20": 0.5, "mrr@20": 0.25, "recall@7": 0.4, "recall@100": 0.75},
    "baselines": {
        "popularity": {"recall@20": 0.125, "mrr@20": 0.0625, "recall@7": 0.1, "recall@100": 0.25},
        "stan": {"recall@20": 0.45, "mrr@20": 0.24, "recall@7": 0.4, "recall@100": 0.5},
    },
    "intervals": {
        "ahead_of": {
            "popularity": {"recall@20": [0.3, 0.4], "mrr@20": [0.1, 0.2]},
            "stan": {"recall@20": [0.01, 0.09], "mrr@20": [-0.001, 0.02]},
        }
    },
    "num_targets": 1_000,
    "num_targets_in_split": 1_000,
    "num_unknown_targets": 12,
    "num_items": 2_000,
    "parameters": {"query_tower": "gru"},
}
DATA = {
    "num_lines": 100,
    "num_rejected": 0,
    "rejected_by_reason": {},
    "findings": {"ties": 3},
    "funnel": {
        "read": 100,
        "dropped": {"rejected: ItemId is empty": 0, "event type: [red]\x1b": 40},
        "kept": {"train": 40, "valid": 10, "test": 10},
    },
}


def show(thing, width=120):
    stream = io.StringIO()
    Console(file=stream, width=width).print(thing)
    return stream.getvalue()


def test_the_table_has_the_intervals_of_those_that_the_model_is_not_clearly_ahead_of():
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in show(make_metrics_table(METRICS)).splitlines()
    ]
    assert rows[0] == ["1,000 targets of the test sessions, ranked among 2,000 items"]
    assert ["model (gru)", "0.5000", "0.2500", "0.7500", ""] in rows
    assert ["stan", "0.4500", "0.2400", "0.5000", "MRR -0.001 to +0.020"] in rows
    assert ["popularity", "0.1250", "0.0625", "0.2500", ""] in rows
    names = [row[0] for row in rows]
    assert names.index("model (gru)") < names.index("stan") < names.index("popularity")


def test_a_model_that_is_ahead_of_all_needs_no_intervals():
    ahead = {name: {"recall@20": [0.1, 0.2], "mrr@20": [0.1, 0.2]} for name in METRICS["baselines"]}
    text = show(make_metrics_table({**METRICS, "intervals": {"ahead_of": ahead}, "num_targets_in_split": 5_000}))
    assert "ahead" not in text
    assert "(sampled from 5,000)" in " ".join(text.split())


@pytest.mark.parametrize(
    ("ks", "columns"),
    [
        (get_preset("notebook")["evaluate_ks"], ["recall@100", "MRR@100", "NDCG@100"]),
        ([5, 20, 100], ["recall@20", "MRR@20", "NDCG@20", "recall@100"]),
        ([5, 10], ["recall@10", "MRR@10", "NDCG@10"]),
    ],
)
def test_each_metric_has_one_column(ks, columns):
    values = {f"{name}@{k}": 0.5 for name in ("recall", "mrr", "ndcg") for k in ks}
    table = make_metrics_table({**METRICS, "model": values, "baselines": {"stan": values}, "intervals": {}})
    assert [column.header for column in table.columns] == ["", *columns]


def test_a_pipe_gets_each_name_whole_and_on_one_line():
    assert not sys.stdout.isatty()
    metrics = {name: value for name, value in METRICS["model"].items() if not name.endswith("@7")}
    names = ["sequential_rules", "session_popularity"]
    document = {
        **METRICS,
        "baselines": dict.fromkeys(names, metrics),
        "intervals": {"ahead_of": {name: {"mrr@20": [-0.001, 0.009]} for name in names}},
        "parameters": {"query_tower": "gru_attention"},
    }
    lines = show(make_metrics_table(document), open_console().width).splitlines()
    # The title, the frame with the names of the columns, and a line for each row.
    assert len(lines) == 1 + 4 + 1 + len(names)
    assert all(sum(name in line for line in lines) == 1 for name in [*names, "model (gru_attention)"])


def test_the_funnel_is_one_line():
    assert describe_funnel(DATA) == (
        "Events: 100 read; dropped: 40 event type: [red]\x1b (40.0%); kept: 40 train, 10 valid, 10 test."
    )
    funnel = DATA["funnel"]
    assert funnel["read"] == sum(funnel["dropped"].values()) + sum(funnel["kept"].values())


@pytest.mark.parametrize("width", [60, 200])
def test_the_summary_is_short_and_obeys_no_text_of_the_log(tmp_path, width):
    stream = io.StringIO()
    output = tmp_path / "a b"
    print_summary({"data": DATA, "metrics": METRICS}, output, Console(file=stream, width=width))
    text = stream.getvalue()
    lines = text.splitlines()
    assert len(lines) < 25
    assert "\x1b" not in text
    assert r"event type: [red]\x1b" in lines[0]
    assert "3 sessions have events at equal times." in lines
    assert "12 targets are items that are not in the vocabulary; they count as misses." in lines
    assert lines[-4].startswith(f"The artifacts are in {output}: ")
    assert lines[-3] == f"Look at the model:   '{output}/report.html'"
    assert f"two-tower recommend --index '{output}/index' --session" in lines[-2]
    assert f"two-tower compare '{output}' OTHER_OUTPUT" in lines[-1]


@pytest.mark.parametrize("verdict", [{}, {"verdict": {"passed": False, "decided_by": "champion"}}])
def test_without_a_serving_location_a_refusal_is_explained(tmp_path, verdict):
    stream = io.StringIO()
    print_summary({"data": DATA, "metrics": METRICS, **verdict}, tmp_path, Console(file=stream, width=200))
    assert ("Nothing was published, because there is no --serving location" in stream.getvalue()) == bool(verdict)


@pytest.mark.parametrize(
    ("model", "baselines", "text"),
    [
        ({"recall@20": 0.5, "mrr@20": 0.2}, {"popularity": {"recall@20": 0.4, "mrr@20": 0.1}}, ""),
        (
            {"recall@20": 0.5, "mrr@20": 0.2, "ndcg@20": 0.1},
            {
                "popularity": {"recall@20": 0.4, "mrr@20": 0.2, "ndcg@20": 0.9},
                "markov": {"recall@20": 0.6, "mrr@20": 0.3},
                "item_knn": {"recall@20": 0.4, "mrr@20": 0.1},
            },
            "The model is not better than these baselines: popularity (mrr@20), markov (recall@20 and mrr@20).",
        ),
        (
            {"recall@5": 0.9, "mrr@5": 0.9, "recall@10": 0.1, "mrr@10": 0.5},
            {"stan": {"recall@5": 0.1, "mrr@5": 0.1, "recall@10": 0.2, "mrr@10": 0.4}},
            "The model is not better than these baselines: stan (recall@10).",
        ),
    ],
)
def test_a_model_that_does_not_beat_a_baseline_is_said_by_name(model, baselines, text):
    stream = io.StringIO()
    print_comparison({"model": model, "baselines": baselines, "num_items": 2_000}, Console(file=stream, width=120))
    assert " ".join(stream.getvalue().split()) == text


@pytest.mark.parametrize(("num_targets", "is_said"), [(1, True), (29, True), (30, False)])
def test_a_few_targets_are_no_result(tmp_path, num_targets, is_said):
    stream = io.StringIO()
    metrics = {**METRICS, "num_targets": num_targets}
    print_summary({"data": DATA, "metrics": metrics}, tmp_path, Console(file=stream, width=200))
    assert ("with fewer than 30, neither the metrics nor their intervals say how good" in stream.getvalue()) == is_said


def test_recall_that_is_the_same_for_every_ranking_is_left_out(tmp_path):
    stream = io.StringIO()
    recall = {name: {**values, "recall@20": 1.0} for name, values in METRICS["baselines"].items()}
    model = {**METRICS["model"], "recall@20": 1.0}
    metrics = {
        **METRICS,
        "model": model,
        "baselines": recall,
        "num_items": 20,
        "num_targets": 31,
        "num_unknown_targets": 1,
    }
    print_summary({"data": DATA, "metrics": metrics}, tmp_path, Console(file=stream, width=200))
    text = stream.getvalue()
    assert "Among 20 items, every ranking has the same recall@20 and recall@100. It is left out." in text
    assert "1 target is an item that is not in the vocabulary; it counts as a miss." in text
    assert "1.0000" not in text
    assert "not better" not in text


def test_one_is_singular():
    document = {**METRICS, "num_targets": 1, "num_targets_in_split": 1, "num_items": 1}
    assert "1 target of the test sessions, ranked among 1 item\n" in show(make_metrics_table(document))
