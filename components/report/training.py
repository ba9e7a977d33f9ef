"""How the training went, epoch by epoch: what the third section shows of metrics.json."""

from collections.abc import Mapping
from typing import Any

from components.report.charts import draw_lines

STAGES = ("selection", "refit")
METRICS = {"valid_recall@20": "recall@20", "valid_mrr@20": "MRR@20"}


def describe_training(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the third section: a chart per quantity, and a row per epoch.

    Args:
        metrics: the contents of metrics.json.
    """
    epochs = [
        {"stage": stage, "number": number, "path": f"/{stage}/{number - 1}", "values": values}
        for stage in STAGES
        for number, values in enumerate(metrics[stage], 1)
    ]
    names = [name for name in METRICS if any(name in epoch["values"] for epoch in epochs)]
    columns = ["mean_loss", *names, "seconds", "targets_per_second"]
    charts = []
    for key, title, form in (("mean_loss", "Mean loss", ".4f"), ("targets_per_second", "Targets per second", ",.0f")):
        points = [
            {"epoch": epoch["number"], "value": epoch["values"][key], "series": epoch["stage"]} for epoch in epochs
        ]
        charts.append(draw_lines(points, title=title, form=form, from_zero=key == "targets_per_second"))
    if names:
        points = [
            {"epoch": epoch["number"], "value": epoch["values"][name], "series": METRICS[name]}
            for name in names
            for epoch in epochs
            if name in epoch["values"]
        ]
        charts.insert(1, draw_lines(points, title="Metrics on the validation split"))
    return {
        "charts": charts,
        "names": [METRICS[name] for name in names],
        "num_selection": len(metrics["selection"]),
        "num_refit": len(metrics["refit"]),
        "rows": [
            {**epoch, "pointers": {key: f"{epoch['path']}/{key}" for key in columns if key in epoch["values"]}}
            for epoch in epochs
        ],
        "columns": columns,
    }
