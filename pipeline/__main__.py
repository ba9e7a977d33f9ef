"""The command line. It only parses options; the other modules of this package do the work."""

import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from pipeline.check_command import check_command
from pipeline.cluster.schedule_commands import schedule_command
from pipeline.cluster.submission import ClusterError
from pipeline.cluster.submit_command import submit_command
from pipeline.compare_command import compare_command
from pipeline.compile_command import compile_command
from pipeline.exit_codes import ExitCode
from pipeline.kfp_runner import RunError
from pipeline.layouts_command import layouts_command
from pipeline.output_folder import OutputFolderError, hold_run
from pipeline.parameters_command import parameters_command
from pipeline.recommend_options import find_index, parse_session
from pipeline.report import escape, print_items
from pipeline.rollback_command import rollback_command
from pipeline.run_command import run_command
from pipeline.versions_command import versions_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="two-tower")
def cli() -> None:
    """Trains, evaluates and exports a two-tower retrieval model from session logs."""


@cli.command()
@click.option(
    "--index",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    help="Exported index, or the output folder that contains it.",
)
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
@click.option("-k", default=10, show_default=True, help="Number of items to recommend.")
@click.option("--exclude-seen", is_flag=True, help="Exclude the items of the session.")
def recommend(path: Path, session: str | None, items: tuple[str, ...], k: int, exclude_seen: bool) -> None:
    """Prints the best items for a session: one item id and its score per line.

    On a terminal, non-printable characters of an id are escaped; in a pipe or file, only tabs and newlines are. Item
    ids that are not in the index are reported on stderr.
    """
    item_ids = parse_session(session, items)
    with hold_run(find_index(path)) as index_dir:
        from components.export import index

        answer = index.recommend(index_dir, item_ids, k=k, exclude_seen=exclude_seen)
    if answer.unknown:
        unknown = ", ".join(f"'{escape(item_id)}'" for item_id in answer.unknown)
        click.echo(f"unknown to the index: {unknown}", err=True)
    print_items(answer.items, sys.stdout)


cli.add_command(run_command)
cli.add_command(check_command)
cli.add_command(parameters_command)
cli.add_command(compare_command)
cli.add_command(layouts_command)
cli.add_command(compile_command)
cli.add_command(submit_command)
cli.add_command(schedule_command)
cli.add_command(versions_command)
cli.add_command(rollback_command)


def main() -> None:
    """Runs the command line. Expected errors are printed without a traceback and end with a code of ExitCode."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.exit(cli.main(standalone_mode=False) or ExitCode.DONE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        _fail("interrupted", ExitCode.INTERRUPTED)
    except RunError as error:
        _fail(str(error), ExitCode.FAILED)
    except (ValueError, OSError, OutputFolderError, ClusterError) as error:
        _fail(str(error), ExitCode.REFUSED)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str, code: ExitCode) -> NoReturn:
    click.echo(f"two-tower: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
