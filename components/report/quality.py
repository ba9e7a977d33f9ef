"""How good the model is, and where: what the first two sections show of metrics.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.core.charts import Chart
from components.core.presentation import choose_cutoff, describe_trivial, show_metric
from components.core.small_splits import describe_few_targets
from components.report.charts import Dot, draw_dots

MODEL = "two-tower"
AHEAD, UNCLEAR, BEHIND = "clearly ahead", "not clearly ahead", "behind"
MAX_REASON = 500  # number of characters of a reason that are shown
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


def judge(bounds: Sequence[float]) -> str:
    """Says what an interval of the model's lead means: AHEAD, UNCLEAR or BEHIND."""
    low, high = bounds
    return AHEAD if low > 0 else BEHIND if high < 0 else UNCLEAR


def describe_leads(leads: Mapping[str, Mapping[str, str]]) -> str:
    """Says in sentences which baselines the model is ahead of.

    Args:
        leads: the verdict of `judge` for each metric, by baseline.
    """
    metrics = list(next(iter(leads.values()), ()))
    common = {each for verdicts in leads.values() for each in verdicts.values()}
    if common == {BEHIND} and len(leads) > 1:
        return f"The model is behind all {len(leads)} baselines in {_join(metrics, 'and')}."
    if common == {UNCLEAR} and len(leads) > 1:
        return f"The model is not clearly ahead of any of the {len(leads)} baselines in {_join(metrics, 'or')}."
    sentences = []
    for verdict, words, conjunction in ((BEHIND, "behind", "and"), (UNCLEAR, "not clearly ahead of", "or")):
        found = {
            label: [metric for metric, each in verdicts.items() if each == verdict] for label, verdicts in leads.items()
        }
        names = [f"{label} ({', '.join(each)})" for label, each in found.items() if each]
        if names:
            sentences.append(f"is {words} {_join(names, conjunction)}.")
    ahead = [label for label, verdicts in leads.items() if {*verdicts.values()} == {AHEAD}]
    if ahead:
        among = "the other" if sentences else "all"
        whom = f"{among} {len(ahead)} baselines" if len(ahead) > 1 else ahead[0]
        sentences.append(f"is clearly ahead of {whom} in {_join(metrics, 'and')}.")
    return " ".join(f"{'It' if number else 'The model'} {sentence}" for number, sentence in enumerate(sentences))


def _join(names: Sequence[str], conjunction: str) -> str:
    return f" {conjunction} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def describe_quality(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the first section: each recommender with JSON pointers to its metrics, best first.

    Args:
        metrics: the contents of metrics.json.
    """
    k = choose_cutoff(metrics["model"])
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
    leads = {
        name_baseline(name): {"recall": judge(ahead[name][names[0]]), "MRR": judge(ahead[name][names[1]])}
        for name in order
    }
    return {
        "k": k,
        "names": names,
        "model": MODEL,
        "rows": rows,
        "strongest": name_baseline(order[0]) if order else "",
        "difference": metrics["model"][names[0]] - strongest[names[0]] if order else None,
        "leads": describe_leads(leads),
        "few_targets": describe_few_targets(metrics["num_targets"]),
        "trivial": describe_trivial(names, metrics["num_items"]),
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


def _describe_champion(champion: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the comparison with the published model or, in `reason`, why there is none."""
    if champion["status"] != "compared":
        return {
            "version": champion.get("version"),
            "reason": _to_line(champion.get("reason") or champion["status"]),
            "rows": [],
        }
    metrics = list(champion["ahead"])
    return {
        "version": champion["version"],
        "reason": "",
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


def _to_line(text: str) -> str:
    """Returns a message as one printable line without its full stop."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    line = " ".join(printable.split()).removesuffix(".")
    return line if len(line) <= MAX_REASON else f"{line[: MAX_REASON - 1]}…"


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
