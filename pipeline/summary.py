"""What a run prints at its end: the data, the metrics beside those of the baselines, and what to do next."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.core.presentation import choose_cutoff, count_of, describe_trivial, is_trivial, show_metric
from components.core.small_splits import describe_few_targets
from pipeline.report import escape, print_findings

PIPE_WIDTH = 120  # characters, for the names of all baselines


def open_console() -> Console:
    """Returns the console for the summary. A pipe has no width; Rich's 80 characters would cut names."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, PIPE_WIDTH))


def print_summary(documents: Mapping[str, Any], output_dir: Path, console: Console, *, serving_uri: str = "") -> None:
    """Prints the result of a run.

    Args:
        documents: the data report, the metrics and, with a gate, the verdict and the manifest, by name.
        output_dir: the output folder.
        console: the console to print to.
        serving_uri: the serving location; empty for none.
    """
    data, metrics = documents["data"], documents["metrics"]
    console.print(Text(escape(describe_funnel(data))), soft_wrap=True)
    print_findings(data, console)
    console.print(make_metrics_table(metrics))
    unknown = metrics["num_unknown_targets"]
    if unknown:
        are = "is an item that is not in the vocabulary; it counts as a miss"
        if unknown > 1:
            are = "are items that are not in the vocabulary; they count as misses"
        console.print(Text(f"{count_of(unknown, 'target')} {are}."), soft_wrap=True)
    trivial = describe_trivial(_list_shown(metrics["model"]), metrics["num_items"])
    if trivial:
        console.print(Text(f"{trivial} It is left out."), soft_wrap=True)
    few = describe_few_targets(metrics["num_targets"])
    if few:
        console.print(Text(few, style="bold red"), soft_wrap=True)
    print_comparison(metrics, console)
    if serving_uri:
        print_verdict(documents["verdict"], documents.get("manifest", {}).get("version"), serving_uri, console)
    elif "verdict" in documents:
        text = "Nothing was published, because there is no --serving location; so the gate lets no model pass."
        console.print(Text(text), soft_wrap=True)
    folder = shlex.quote(str(output_dir))
    index = shlex.quote(str(output_dir / "index"))
    lines = [
        f"The artifacts are in {output_dir}: metrics.json, ranks.parquet, model, index, events, run.log, ...",
        f"Look at the model:   {shlex.quote(str(output_dir / 'report.html'))}",
        f"Ask the index:       two-tower recommend --index {index} --session ID,ID,... -k 5 --exclude-seen",
        f"Compare two runs:    two-tower compare {folder} OTHER_OUTPUT",
    ]
    for line in lines:
        console.print(Text(escape(line)), soft_wrap=True)


def describe_funnel(data: Mapping[str, Any]) -> str:
    """Returns in one line what became of the lines of the log."""
    funnel = data.get("funnel")
    if not funnel:
        return f"Lines read: {data['num_lines']:,}."
    read = max(1, funnel["read"])
    counts = [(label, count) for label, count in funnel["dropped"].items() if count]
    dropped = ", ".join(f"{count:,} {label} ({count / read:.1%})" for label, count in counts)
    kept = ", ".join(f"{count:,} {split}" for split, count in funnel["kept"].items())
    parts = [f"{funnel['read']:,} read", f"dropped: {dropped}" if dropped else "", f"kept: {kept}"]
    return f"Events: {'; '.join(part for part in parts if part)}."


def make_metrics_table(document: Mapping[str, Any]) -> Table:
    """Makes the table of the metrics.

    The last column has the 95% interval of the paired difference for the baselines that the model is not clearly ahead
    of: those with a difference, in recall or MRR, whose interval reaches down to 0.
    """
    model = document["model"]
    k = choose_cutoff(model)
    names = [name for name in _list_shown(model) if not is_trivial(name, document["num_items"])]
    targets, in_split = document["num_targets"], document["num_targets_in_split"]
    drawn = f" (sampled from {in_split:,})" if in_split > targets else ""
    table = Table(
        title=f"{count_of(targets, 'target')} of the test sessions{drawn}, "
        f"ranked among {count_of(document['num_items'], 'item')}",
        title_justify="left",
    )
    table.add_column("")
    for name in names:
        table.add_column(show_metric(name), justify="right")
    ahead = document.get("intervals", {}).get("ahead_of", {})
    close = {name: _describe_close(ahead.get(name, {}), k, document["num_items"]) for name in document["baselines"]}
    if any(close.values()):
        table.add_column("model is ahead by (95%)")
    rows = {f"model ({document['parameters']['query_tower']})": model, **document["baselines"]}
    best_first = sorted(rows, key=lambda row: (row in document["baselines"], -rows[row][names[0]]))
    for row in best_first:
        last = [close.get(row, "")] if any(close.values()) else []
        style = "" if row in document["baselines"] else "bold"
        table.add_row(Text(escape(row)), *(f"{rows[row][name]:.4f}" for name in names), *last, style=style)
    return table


def _list_shown(model: Mapping[str, float]) -> list[str]:
    """Names of the metrics that are shown of all those of the model."""
    k = choose_cutoff(model)
    wanted = dict.fromkeys((f"recall@{k}", f"mrr@{k}", f"ndcg@{k}", "recall@100"))
    return [name for name in wanted if name in model]


def _describe_close(ahead: Mapping[str, list[float]], k: int, num_items: int) -> str:
    """Describes the intervals of the differences that reach down to 0."""
    names = [name for name in ("recall", "mrr") if not is_trivial(f"{name}@{k}", num_items)]
    intervals = {show_metric(name): ahead.get(f"{name}@{k}") for name in names}
    close = {name: each for name, each in intervals.items() if each is not None and each[0] <= 0}
    return ", ".join(f"{name} {low:+.3f} to {high:+.3f}" for name, (low, high) in close.items())


def print_comparison(document: Mapping[str, Any], console: Console) -> None:
    """Prints the baselines that the model does not beat, if there are any.

    The metrics are recall and MRR at the cut-off of the summary.

    Args:
        document: the contents of metrics.json.
        console: the console to print to.
    """
    model = document["model"]
    k = choose_cutoff(model)
    ahead = {}
    for baseline, summary in document["baselines"].items():
        names = [name for name in (f"recall@{k}", f"mrr@{k}") if not is_trivial(name, document["num_items"])]
        metrics = [name for name in names if model[name] <= summary[name]]
        if metrics:
            ahead[baseline] = " and ".join(metrics)
    if ahead:
        baselines = ", ".join(f"{baseline} ({metrics})" for baseline, metrics in ahead.items())
        text = f"The model is not better than these baselines: {baselines}."
        console.print(Text(escape(text), style="bold red"))


def print_verdict(verdict: Mapping[str, Any], version: int | None, uri: str, console: Console) -> None:
    """Prints what the gate decided and why, and the version that was published.

    Args:
        verdict: the contents of verdict.json.
        version: number of the published version; None if nothing was published.
        uri: the serving location.
        console: the console to print to.
    """
    decided = f"Decided by: {verdict['decided_by']}. {verdict['reason']}"
    if version is None:
        text, style = f"The gate refused the model. {decided} Nothing was published in {uri}.", "bold red"
    else:
        text, style = f"The gate let the model pass. {decided} Version {version} is published in {uri}.", ""
    console.print(Text(escape(text), style=style))
