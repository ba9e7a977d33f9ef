"""The metrics that a cluster's web page shows. All others are in the JSON of the artifact."""

from collections.abc import Mapping
from typing import Any

from components.core.presentation import CUTOFF, choose_cutoff


def select_page_metrics(document: Mapping[str, Any]) -> dict[str, float]:
    """Selects at most ten metrics: Kubeflow's page shows ten at a time, sorted by name.

    Args:
        document: the metrics of `evaluate`.
    """
    k = choose_cutoff(document["model"])
    found = {f"{metric}@{k}": document["model"][f"{metric}@{k}"] for metric in ("recall", "mrr", "ndcg")}
    baselines = [summary[f"recall@{k}"] for summary in document["baselines"].values() if f"recall@{k}" in summary]
    if baselines:
        found[f"best_baseline_recall@{k}"] = max(baselines)
    champion = document["champion"].get("champion", {})
    for name in (f"recall@{k}", f"mrr@{k}"):
        if name in champion:
            found[f"champion_{name}"] = champion[name]
    found[f"coverage@{CUTOFF}"] = document[f"coverage@{CUTOFF}"]["model"]
    return found | {name: document[name] for name in ("num_targets", "num_unknown_targets")}
