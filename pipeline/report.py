"""Prints the results of commands: the metrics of a run and recommended items."""

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

TABLE_METRICS = ("recall@10", "recall@20", "recall@100", "mrr@20", "ndcg@20")


def print_metrics(document: dict[str, Any], console: Console) -> None:
    """Prints the metrics of the model and the baselines, and the cost of the training.

    Args:
        document: the contents of metrics.json.
        console: the console to print to.
    """
    names = [name for name in TABLE_METRICS if name in document["model"]]
    targets, in_split = document["num_targets"], document["num_targets_in_split"]
    drawn = f" (sampled from {in_split:,})" if in_split > targets else ""
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
        f"{document['num_unknown_targets']:,} targets are items that do not occur in training; they count as misses. "
        f"Training took {training['seconds']:.0f} s for {training['epochs']:.0f} epochs, "
        f"{training['targets_per_second']:,.0f} targets/s, {training['peak_memory_bytes'] / 2**30:.1f} GiB."
    )


def print_items(items: Iterable[tuple[str, float]], stream: TextIO) -> None:
    r"""Prints one item and its score per line, separated by a tab.

    On a terminal, non-printable characters (control characters, direction marks) are escaped. Elsewhere ids are written
    as UTF-8, and only tabs and newlines, which would break the format, are escaped as `\t` and `\n`.

    Args:
        items: item ids and scores, best first.
        stream: the stream to write to.
    """
    is_terminal = stream.isatty()
    for item_id, score in items:
        text = escape(item_id) if is_terminal else item_id.replace("\t", "\\t").replace("\n", "\\n")
        line = f"{text}\t{score:.6f}\n"
        if is_terminal:
            encoding = stream.encoding or "utf-8"
            stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        else:
            stream.flush()
            stream.buffer.write(line.encode())
    stream.flush()


def escape(text: str) -> str:
    r"""Replaces each non-printable character by its Python escape sequence, such as `\x1b`."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
