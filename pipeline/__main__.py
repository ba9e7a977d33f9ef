"""The command line. It only parses options; the other modules of this package do the work."""

import json
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from components.core.logs.layout_table import LAYOUTS
from components.image import IMAGE
from components.serve.options import serve_command
from pipeline import local, presets
from pipeline.check_command import check_command
from pipeline.cluster.schedule_commands import schedule_command
from pipeline.cluster.submission import ClusterError
from pipeline.cluster.submit_command import submit_command
from pipeline.compile_command import compile_command
from pipeline.containers import make_docker_runner
from pipeline.exit_codes import ExitCode
from pipeline.kfp_runner import RunError
from pipeline.layout_settings import LAYOUT_HELP
from pipeline.layouts_command import layouts_command
from pipeline.output_folder import OutputFolder, OutputFolderError
from pipeline.recommend_command import recommend_command
from pipeline.report import (
    print_comparison,
    print_findings,
    print_funnel,
    print_metrics,
    print_verdict,
)
from pipeline.rollback_command import rollback_command
from pipeline.run_options import make_local_run
from pipeline.tasks import Tasks
from pipeline.versions_command import versions_command

LOG_HELP = "a file, folder or glob; local, s3:// or gs://."


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="two-tower")
def cli() -> None:
    """Trains, evaluates and exports a two-tower retrieval model from session logs."""


@cli.command()
@click.option(
    "--preset",
    default="",
    help=f"Parameters to start from: {', '.join(presets.PRESETS)}. [default: default; without a log, sample]",
)
@click.option("--train", "train_path", help=f"Log of the training sessions: {LOG_HELP}")
@click.option("--valid", "valid_path", help="Log of the validation sessions.")
@click.option("--test", "test_path", help="Log of the test sessions.")
@click.option("--events", "log_path", help=f"Raw event log, instead of the three above: {LOG_HELP}")
@click.option("--layout", type=click.Choice(list(LAYOUTS)), metavar="NAME", help=LAYOUT_HELP)
@click.option("--as-of", metavar="DATE", help="End of the time window of --events. [default: the newest event]")
@click.option(
    "--serving",
    "serving_uri",
    metavar="URI",
    help="With --events: where to publish the model if the gate lets it pass: a folder, s3:// or gs://.",
)
@click.option("--items", "items_path", help="Table with columns item and title for the report, Parquet or CSV.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a pipeline parameter. Repeatable, once per parameter.",
)
@click.option(
    "--output",
    "output_dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("output"),
    show_default=True,
    help="Output folder of the run; one run at a time.",
)
@click.option(
    "--runner",
    type=click.Choice(["subprocess", "docker"]),
    default="subprocess",
    show_default=True,
    help="Run each task in a subprocess or in a container.",
)
@click.option("--image", default=IMAGE, show_default=True, help="Container image for --runner docker.")
def run(
    preset: str,
    layout: str | None,
    settings: tuple[str, ...],
    output_dir: Path,
    runner: str,
    image: str,
    **options: str | None,
) -> ExitCode:
    """Runs a pipeline on this machine: on split logs, on a raw log or, without a log, on a generated one.

    Exit codes: 0 success, with --serving: published; 1 invalid input, 2 usage error, 3 a task failed, 7 the gate
    refused the model and nothing was published, 130 interrupted.
    """
    planned = make_local_run(options, settings, preset, Tasks(image=image), layout=layout or "")
    arguments, inputs = planned.arguments, list(planned.inputs)
    serving_uri = arguments.get("serving_uri", "")
    with OutputFolder(output_dir) as folder:
        if planned.needs_sample_log:
            from pipeline.sample_log import SampleLog

            for split, path in SampleLog().write(folder.path / "sample_log").items():
                arguments[f"{split}_path"] = str(path)
        serving = Path(serving_uri) if serving_uri and "://" not in serving_uri else None
        docker_runner = (
            make_docker_runner(image, writable=folder.path, serving=serving, readable=inputs)
            if runner == "docker"
            else None
        )
        artifacts = local.run_training(planned.pipeline, arguments, folder, runner=docker_runner)
        console = Console()
        data = json.loads((artifacts["events"] / "report.json").read_text())
        metrics = json.loads(artifacts["metrics"].read_text())
        print_funnel(data, console)
        print_metrics(metrics, console)
        print_findings(data, console)
        print_comparison(metrics, console)
        if serving_uri:
            manifest = json.loads(artifacts["manifest"].read_text()) if "manifest" in artifacts else {}
            print_verdict(json.loads(artifacts["verdict"].read_text()), manifest.get("version"), serving_uri, console)
    click.echo(f"The artifacts are in {output_dir}.")
    return ExitCode.GATE if serving_uri and not manifest else ExitCode.DONE


cli.add_command(check_command)
cli.add_command(layouts_command)
cli.add_command(recommend_command)
cli.add_command(compile_command)
cli.add_command(submit_command)
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
    except local.GateRefusalError as error:
        _fail(str(error), ExitCode.GATE)
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
