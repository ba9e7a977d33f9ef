"""Recommendations for single sessions: what the fourth section shows of examples.json."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.report.items import Item
from components.report.quality import name_baseline

KINDS = {
    "new_hits": "Hits: the next item, new to the session, is among the first 10",
    "model_better": "The model finds the next item, the baseline does not",
    "baseline_better": "The baseline finds the next item, the model does not",
    "repeats": "The next item is one that the session has already seen",
    "missed": "Both miss the next item, though it is in the vocabulary",
    "unknown": "The next item is not in the vocabulary: neither can find it",
}


def list_items(document: Mapping[str, Any]) -> Iterator[str]:
    """Yields every item id of examples.json."""
    for example in document["examples"]:
        yield from (*example["history"], example["target"], *example["model_top"], *example["baseline_top"])


def describe_examples(document: Mapping[str, Any], look_up: Callable[[str], Item]) -> dict[str, Any]:
    """Returns the fourth section: the examples of each kind.

    Args:
        document: the contents of examples.json.
        look_up: returns what is shown of an item.
    """

    def describe(example: Mapping[str, Any]) -> dict[str, Any]:
        seen = set(example["history"])

        def top(name: str) -> list[dict[str, Any]]:
            return [
                {"item": look_up(item_id), "is_hit": item_id == example["target"], "is_seen": item_id in seen}
                for item_id in example[name]
            ]

        return {
            **example,
            "history": [look_up(item_id) for item_id in example["history"]],
            "num_earlier": example["position"] - len(example["history"]),
            "target": look_up(example["target"]),
            "model_top": top("model_top"),
            "baseline_top": top("baseline_top"),
        }

    groups = []
    for kind, title in KINDS.items():
        examples = [describe(example) for example in document["examples"] if example["kind"] == kind]
        if examples:
            groups.append({"title": title, "examples": examples})
    return {
        "baseline": name_baseline(document["baseline"]),
        "num_examples": len(document["examples"]),
        "groups": groups,
    }
