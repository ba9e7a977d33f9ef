"""The command line. It only parses options; the other modules of this package do the work."""

import signal
import sys
from typing import Any, NoReturn

import click

from components.serve.options import serve_command
from pipeline.check_command import check_command
from pipeline.cluster.runs_command import runs_command
from pipeline.cluster.schedule_commands import schedule_command
from pipeline.cluster.submission import ClusterError
from pipeline.cluster.submit_command import submit_command
from pipeline.compare_command import compare_command
from pipeline.compile_command import compile_command
from pipeline.exit_codes import ExitCode
from pipeline.kfp_runner import RunError
from pipeline.layouts_command import layouts_command
from pipeline.local import GateRefusalError
from pipeline.output_folder import OutputFolderError
from pipeline.parameters_command import parameters_command
from pipeline.recommend_command import recommend_command
from pipeline.report import say
from pipeline.rollback_command import rollback_command
from pipeline.run_command import run_command
from pipeline.tune_command import tune_command
from pipeline.versions_command import versions_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="two-tower")
def cli() -> None:
    """Trains, evaluates and exports a two-tower retrieval model from session logs."""


cli.add_command(run_command)
cli.add_command(tune_command)
cli.add_command(check_command)
cli.add_command(parameters_command)
cli.add_command(compare_command)
cli.add_command(layouts_command)
cli.add_command(recommend_command)
cli.add_command(compile_command)
cli.add_command(submit_command)
cli.add_command(runs_command)
cli.add_command(schedule_command)
cli.add_command(versions_command)
cli.add_command(rollback_command)
cli.add_command(serve_command)


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
    except GateRefusalError as error:
        _fail(str(error), ExitCode.GATE)
    except RunError as error:
        _fail(str(error), ExitCode.FAILED)
    except (ValueError, OSError, OutputFolderError, ClusterError) as error:
        _fail(str(error), ExitCode.REFUSED)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str, code: ExitCode) -> NoReturn:
    say(f"two-tower: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
