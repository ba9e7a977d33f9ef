"""The command that asks an index: for one session, for sessions on stdin, or for all sessions of a log."""

import inspect
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import click

from components.core.presentation import count_of
from components.core.progress import SECONDS_VARIABLE
from components.core.run_artifacts import find_index, hold_run
from components.recommend.component import recommend as component
from pipeline.graph_parameters import WITHOUT_EFFECT
from pipeline.names import suggest
from pipeline.output_folder import check_outside
from pipeline.recommend_options import parse_line, parse_session
from pipeline.report import escape, print_items
from pipeline.settings import parse_settings
from pipeline.versions_command import SERVING_HELP

# Parameters of the component that are options of the command.
OPTIONS = {
    "sessions_path": "--sessions",
    "serving_uri": "--serving",
    "serving_version": "--serving, which has the newest version,",
    "recommend_k": "-k",
    "exclude_seen": "--exclude-seen",
}
SECONDS_PER_LINE = 5  # shortest time between two lines of progress


@click.command("recommend")
@click.option(
    "--index",
    "path",
    type=click.Path(path_type=Path),
    help="Exported index, or the output folder that contains it.",
)
@click.option("--serving", "serving_uri", metavar="URI", help=f"Instead of --index, the newest version. {SERVING_HELP}")
@click.option(
    "--session", metavar="ID,ID,...", help="Item ids of the session, oldest first; spaces around an id are removed."
)
@click.option(
    "--item",
    "items",
    multiple=True,
    metavar="ID",
    help="One item id, taken literally, instead of --session; repeatable, oldest first.",
)
@click.option(
    "--stdin", "from_stdin", is_flag=True, help="Answer each line of stdin, a JSON list of item ids, with a JSON line."
)
@click.option("--sessions", metavar="LOG", help="Answer all sessions of a log: a file, folder or glob, in any order.")
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for the answers to --sessions."
)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a parameter of --sessions, such as item_column."
)
@click.option("-k", default=10, show_default=True, help="Number of items to recommend.")
@click.option("--exclude-seen", is_flag=True, help="Exclude the items of the session.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def recommend_command(
    path: Path | None,
    serving_uri: str | None,
    session: str | None,
    items: tuple[str, ...],
    from_stdin: bool,
    sessions: str | None,
    output: Path | None,
    settings: tuple[str, ...],
    k: int,
    exclude_seen: bool,
    as_json: bool,
) -> None:
    """Prints the best items for a session: one item id and its score per line.

    On a terminal, non-printable characters of an id are escaped; in a pipe or file, only tabs and newlines are. Item
    ids that are not in the index are reported on stderr.

    With --sessions, all sessions of a log are answered, into the Parquet files of --output. A run that was stopped
    goes on when it is started again.

    Exit codes: 0 answered, 1 refused, 2 usage error.
    """
    modes = {"--session or --item": session is not None or bool(items), "--stdin": from_stdin, "--sessions": sessions}
    if sum(map(bool, modes.values())) != 1:
        given = [name for name, is_given in modes.items() if is_given]
        raise click.UsageError(f"Expected one of {', '.join(modes)}. Received: {' and '.join(given) or 'none'}")
    if (path is None) == (serving_uri is None):
        raise click.UsageError(f"Expected --index or --serving. Received: {'neither' if path is None else 'both'}")
    if sessions is None and (output or settings):
        raise click.UsageError(f"Expected --sessions with {'--output' if output else '--set'}. Received: none")
    if sessions is not None and output is None:
        raise click.UsageError("Expected --output, a folder for the answers, with --sessions. Received: none")
    if k < 1:
        raise ValueError(f"Expected k to be at least 1. Received: {k}")
    if sessions is not None and output is not None:
        check_outside(output, [sessions])
        arguments = _make_arguments(settings, k=k, exclude_seen=exclude_seen)
        with _open_index(path, serving_uri) as index_dir:
            _answer_log(sessions, index_dir, output, arguments, as_json=as_json)
        return
    asked = None if from_stdin else parse_session(session, items)
    with _open_index(path, serving_uri) as index_dir:
        if asked is None:
            _answer_lines(index_dir, k=k, exclude_seen=exclude_seen)
        else:
            _answer_session(index_dir, asked, k=k, exclude_seen=exclude_seen, as_json=as_json)


@contextmanager
def _open_index(path: Path | None, serving_uri: str | None) -> Iterator[Path]:
    if path is not None:
        with hold_run(find_index(path)) as index_dir:
            yield index_dir
    elif serving_uri is not None:
        from components.recommend.step import fetch_index

        with tempfile.TemporaryDirectory(prefix="two-tower-index-") as folder:
            fetch_index(serving_uri, Path(folder))
            yield Path(folder)


def _answer_session(index_dir: Path, item_ids: list[str], *, k: int, exclude_seen: bool, as_json: bool) -> None:
    from components.export import index

    answer = index.recommend(index_dir, item_ids, k=k, exclude_seen=exclude_seen)
    if as_json:
        click.echo(_to_json(answer.items, answer.unknown))
        return
    if answer.unknown:
        unknown = ", ".join(f"'{escape(item_id)}'" for item_id in answer.unknown)
        click.echo(f"unknown to the index: {unknown}", err=True)
    print_items(answer.items, sys.stdout)


def _answer_lines(index_dir: Path, *, k: int, exclude_seen: bool) -> None:
    """Answers each line as soon as it is there, so that a script can wait for the answer before it writes the next."""
    import pyarrow as pa

    from components.recommend.answers import BulkIndex

    index = BulkIndex(index_dir)
    for number, line in enumerate(_read_lines(sys.stdin), 1):
        if not line.strip():
            continue
        item_ids = parse_line(line, number)
        lists = pa.array([item_ids], pa.list_(pa.string()))
        answer = index.answer(
            pa.record_batch([pa.array([""]), lists], ["session_id", "item_ids"]), k=k, exclude_seen=exclude_seen
        )
        rows = answer.table.to_pylist()
        click.echo(_to_json([(row["item_id"], row["score"]) for row in rows], answer.unknown.unique().to_pylist()))


def _read_lines(lines: Iterable[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected stdin to be UTF-8. Received: {error}") from error


def _to_json(items: list[tuple[str, float]], unknown: list[str]) -> str:
    return json.dumps({"items": [{"item_id": item, "score": score} for item, score in items], "unknown": unknown})


def _answer_log(sessions: str, index_dir: Path, output: Path, arguments: dict[str, Any], *, as_json: bool) -> None:
    from components.core.parameters import make_parameters
    from components.recommend import step
    from components.recommend.parameters import RecommendParameters

    parameters = make_parameters(RecommendParameters, arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    os.environ.setdefault(SECONDS_VARIABLE, str(SECONDS_PER_LINE))
    with redirect_stdout(sys.stderr):  # lines of progress
        report = step.recommend_sessions(sessions, index_dir, output, parameters)
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    click.echo(
        f"{count_of(report['num_sessions'], 'session')} with {count_of(report['num_events'], 'event')}, "
        f"{count_of(report['num_rows'], 'item')} recommended. The most popular ones were recommended for "
        f"{count_of(report['num_sessions_without_known_item'], 'session')} without an item that the index knows."
    )
    if report["num_other_types"]:
        click.echo(
            f"Events of other types than those in event_types, which do not count: {report['num_other_types']:,}."
        )
    if report["num_unknown_events"]:
        examples = ", ".join(f"'{escape(item)}' ({count:,})" for item, count in report["most_frequent_unknown"].items())
        click.echo(
            f"The index does not know {count_of(report['num_distinct_unknown'], 'item')} of "
            f"{count_of(report['num_unknown_events'], 'event')}, most often {examples}."
        )
    if report["num_rejected"]:
        click.echo(f"Rejected: {count_of(report['num_rejected'], 'line')}, in {output / step.REJECTED_NAME}.")
    click.echo(f"The recommendations are in {output}.")


def _make_arguments(settings: tuple[str, ...], *, k: int, exclude_seen: bool) -> dict[str, Any]:
    """Returns the arguments of the component from its defaults and --set."""
    fixed = (*OPTIONS, *WITHOUT_EFFECT)  # those of its record are for pipelines
    inputs = {name: spec for name, spec in component.component_spec.inputs.items() if name not in fixed}
    for name in (setting.partition("=")[0] for setting in settings):
        if name in OPTIONS:
            raise click.UsageError(f"Expected the option {OPTIONS[name]} instead. Received: --set {name}=...")
        if name not in inputs:
            raise ValueError(
                f"Expected a parameter of recommend, one of {', '.join(inputs)}. Received: {name!r}. "
                f"{suggest(name, inputs)}".rstrip()
            )
    signature = inspect.signature(component.python_func).parameters
    defaults = {name: list(value) if isinstance(value := signature[name].default, list) else value for name in inputs}
    return {**defaults, **parse_settings(settings, inputs, {}), "recommend_k": k, "exclude_seen": exclude_seen}
