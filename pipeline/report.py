"""A run's metrics as a table on the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

TABLE_METRICS = ("recall@10", "recall@20", "recall@100", "mrr@20", "ndcg@20")


def print_metrics(document: dict[str, Any], console: Console) -> None:
    """Prints the model beside its baselines, and what it cost.

    Args:
        document: the contents of metrics.json.
        console: where to.
    """
    names = [name for name in TABLE_METRICS if name in document["model"]]
    targets, in_split = document["num_targets"], document["num_targets_in_split"]
    drawn = f" (drawn from {in_split:,})" if in_split > targets else ""
    table = Table(
        title=f"{targets:,} targets of the test sessions{drawn}, ranked among {document['num_items']:,} items"
    )
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    rows = {f"model ({document['parameters']['query_tower']})": document["model"], **document["baselines"]}
    for row, summary in rows.items():
        table.add_row(row, *(f"{summary[name]:.4f}" for name in names), style="bold" if row.startswith("model") else "")
    console.print(table)
    training = document["training"]
    console.print(
        f"{document['num_unknown_targets']:,} targets are items that training never saw: they count as misses. "
        f"Training took {training['seconds']:.0f} s for {training['epochs']:.0f} epochs, "
        f"{training['targets_per_second']:,.0f} targets/s, {training['peak_memory_bytes'] / 2**30:.1f} GiB."
    )
