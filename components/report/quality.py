"""How good the model is, and where: what the first two sections show of metrics.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.core.charts import Chart
from components.report.charts import Dot, draw_dots

MODEL = "two-tower"
LABELS = {
    "stan": "STAN",
    "v_sknn": "V-SKNN",
    "sequential_rules": "sequential rules",
    "markov": "Markov chain",
    "session_popularity": "session popularity",
    "item_knn": "item-kNN",
    "popularity": "popularity",
}
BREAKDOWNS = {
    "by_prefix_length": ("By number of events before the target", "events"),
    "by_target_popularity": (
        "By popularity of the target",
        "head, torso and tail items have a third of all events each",
    ),
    "by_recency": ("By time since training last saw the target", ""),
    "by_repeat": ("By whether the session has already seen the target", ""),
}


def name_baseline(name: str) -> str:
    """Returns a baseline's name as the field writes it."""
    return LABELS.get(name, name.replace("_", " "))


def find_cutoff(metrics: Mapping[str, Any]) -> int:
    """Returns 20 or, if the metrics were not computed at 20, the highest cut-off."""
    cutoffs = [int(name.partition("@")[2]) for name in metrics["model"]]
    return 20 if 20 in cutoffs else max(cutoffs)


def judge(bounds: Sequence[float]) -> str:
    """Says what the interval of a difference from the model's view means."""
    low, high = bounds
    return "ahead" if low > 0 else "behind" if high < 0 else "not clearly ahead"


def describe_quality(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the first section: each recommender with JSON pointers to its metrics, best first.

    Args:
        metrics: the contents of metrics.json.
    """
    k = find_cutoff(metrics)
    names = (f"recall@{k}", f"mrr@{k}")
    order = sorted(metrics["baselines"], key=lambda name: -metrics["baselines"][name][names[0]])
    ahead = metrics["intervals"]["ahead_of"]
    rows = [
        {
            "label": name_baseline(name),
            "values": [f"/baselines/{name}/{metric}" for metric in names],
            "ahead": [f"/intervals/ahead_of/{name}/{metric}" for metric in names],
            "verdicts": [judge(ahead[name][metric]) for metric in names],
        }
        for name in order
    ]
    strongest = metrics["baselines"][order[0]] if order else {}
    behind = [
        f"{row['label']} in {show_metric(metric).partition('@')[0]}"
        for row in rows
        for metric, verdict in zip(names, row["verdicts"], strict=True)
        if verdict != "ahead"
    ]
    return {
        "k": k,
        "names": names,
        "model": MODEL,
        "rows": rows,
        "strongest": name_baseline(order[0]) if order else "",
        "difference": metrics["model"][names[0]] - strongest[names[0]] if order else None,
        "behind": behind,
        "charts": [_compare(metrics, order, metric) for metric in names],
        "champion": _describe_champion(metrics["champion"]),
    }


def _compare(metrics: Mapping[str, Any], order: Sequence[str], metric: str) -> Chart:
    low, high = metrics["intervals"]["model"][metric]
    dots = [Dot(label=MODEL, value=metrics["model"][metric], series=MODEL, low=low, high=high)]
    dots += [
        Dot(label=name_baseline(name), value=metrics["baselines"][name][metric], series="baseline") for name in order
    ]
    return draw_dots(dots, title=show_metric(metric), metric="mean over all targets", model=MODEL)


def show_metric(name: str) -> str:
    """Returns a metric's name as the field writes it."""
    return name.replace("mrr", "MRR").replace("ndcg", "NDCG")


def _describe_champion(champion: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the comparison with the published model; None if there is no published model to compare with."""
    if champion["status"] != "compared":
        reason = champion.get("reason", "")
        return {"reason": reason} if "version" in champion or champion["status"] == "none" else None
    metrics = list(champion["ahead"])
    return {
        "version": champion["version"],
        "rows": [
            {
                "label": show_metric(metric),
                "values": [f"/champion/model/{metric}", f"/champion/champion/{metric}"],
                "ahead": f"/champion/ahead/{metric}",
                "verdict": judge(champion["ahead"][metric]),
            }
            for metric in metrics
        ],
    }


def describe_breakdowns(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the second section: metrics of groups of targets, coverage and popularity bias.

    Args:
        metrics: the contents of metrics.json.
    """
    baseline = metrics["strongest_baseline"]
    label = name_baseline(baseline["name"])
    parts: list[dict[str, Any]] = []
    for key, (title, note) in BREAKDOWNS.items():
        groups = metrics[key]
        if not groups:
            continue
        names = [name for name in next(iter(groups.values())) if name != "num_targets"]
        dots = []
        for group, values in groups.items():
            low, high = metrics["intervals"][key][group][names[0]]
            row = f"{group} ({values['num_targets']:,})"
            dots.append(Dot(label=row, value=values[names[0]], series=MODEL, low=low, high=high))
            dots.append(Dot(label=row, value=baseline[key][group][names[0]], series=label))
        parts.append(
            {
                "title": title,
                "note": note,
                "chart": draw_dots(dots, title=title, metric=names[0], model=MODEL),
                "rows": [
                    {
                        "label": group,
                        "count": f"/{key}/{group}/num_targets",
                        "values": [f"/{key}/{group}/{name}" for name in names[:2]],
                        "baseline": [f"/strongest_baseline/{key}/{group}/{name}" for name in names[:2]],
                    }
                    for group in groups
                ],
                "names": [show_metric(name) for name in names[:2]],
            }
        )
    spread = next(name for name in metrics if name.startswith("coverage@"))
    bias = next(name for name in metrics if name.startswith("popularity_percentile@"))
    order = sorted(metrics[spread], key=lambda name: (name != "model", -metrics[spread][name]))
    return {
        "baseline": label,
        "model": MODEL,
        "metric": parts[0]["names"][0] if parts else "",
        "parts": parts,
        "spread": [
            {
                "label": MODEL if name == "model" else name_baseline(name),
                "values": [f"/{spread}/{name}", f"/{bias}/{name}"],
            }
            for name in order
        ],
    }
