"""The command that runs a pipeline on this machine."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from components.core.logs.layout_table import LAYOUTS
from components.image import IMAGE, SOURCE_VERSION
from pipeline import local, presets
from pipeline.completion import complete_setting
from pipeline.configuration import effective_values, make_config
from pipeline.containers import make_docker_runner
from pipeline.display import Detail, Display
from pipeline.exit_codes import ExitCode
from pipeline.layout_settings import LAYOUT_HELP
from pipeline.output_folder import OutputFolder, check_outside
from pipeline.provenance import add_to_metrics, describe_run
from pipeline.run_options import LocalRun, make_local_run
from pipeline.summary import open_console, print_summary
from pipeline.task_keys import hash_files, make_keys
from pipeline.tasks import Tasks
from pipeline.validation import check_index_package

LOG_HELP = "a file, folder or glob; local, s3:// or gs://."


def _take_one(_context: click.Context, parameter: click.Parameter, values: tuple[Any, ...]) -> Any:
    """Returns the value of an option that may be given once, or None. Click would take the last of several."""
    if len(values) > 1:
        raise click.UsageError(
            f"Expected {parameter.opts[0]} once; put all values into one file, or use --set. "
            f"Received: {' and '.join(map(str, values))}"
        )
    return values[0] if values else None


@click.command("run")
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
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    callback=_take_one,
    help="YAML file with values of parameters, such as the config.yaml of an earlier run.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    shell_complete=complete_setting,
    help="Set a parameter; `two-tower parameters` lists them. Repeatable, once per parameter.",
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
@click.option("-v", "--verbose", is_flag=True, help="Show everything that the steps print, as it goes to run.log too.")
@click.option("-q", "--quiet", is_flag=True, help="Show only the result.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def run_command(
    preset: str,
    layout: str | None,
    config: Path | None,
    settings: tuple[str, ...],
    output_dir: Path,
    runner: str,
    image: str,
    verbose: bool,
    quiet: bool,
    as_json: bool,
    **options: str | None,
) -> ExitCode:
    """Runs a pipeline on this machine: on split logs, on a raw log or, without a log, on a generated one.

    The progress goes to stderr, the result to stdout, and everything that the steps print to run.log in the output
    folder. A run that has failed or was interrupted goes on where it was when the same command is started again.

    Exit codes: 0 success, with --serving: published; 1 invalid input, 2 usage error, 3 a task failed, 7 the gate
    refused the model and nothing was published, 130 interrupted.
    """
    if verbose and quiet:
        raise click.UsageError("Expected -v or -q. Received: both")
    if image != IMAGE and runner != "docker":
        raise click.UsageError(f"Expected --image together with --runner docker. Received: --image {image} alone")
    planned = make_local_run(options, settings, preset, Tasks(image=image), layout=layout or "", config=config)
    if runner != "docker":
        check_index_package(planned.arguments)
    check_outside(output_dir, planned.find_local_logs(planned.arguments).values())
    display = Display(detail=Detail.ALL if verbose else Detail.QUIET if quiet else Detail.STEPS)
    with OutputFolder(output_dir) as folder:
        artifacts = run_planned(planned, folder, display, image if runner == "docker" else "")
        documents = {name: json.loads(path.read_text()) for name, path in _list_documents(artifacts).items()}
    serving_uri = planned.arguments.get("serving_uri", "")
    if as_json:
        click.echo(
            json.dumps({"output": str(output_dir), "run": artifacts["metrics"].parent.name, **documents}, indent=2)
        )
    else:
        print_summary(documents, output_dir, open_console(), serving_uri=serving_uri)
    return ExitCode.GATE if serving_uri and "manifest" not in documents else ExitCode.DONE


def run_planned(planned: LocalRun, folder: OutputFolder, display: Display, image: str = "") -> dict[str, Path]:
    """Runs the pipeline; `image` is empty to run the tasks in processes of this machine."""
    started = datetime.now(UTC)
    arguments = dict(planned.arguments)
    if planned.needs_sample_log:
        from pipeline.sample_log import SampleLog

        for split, path in SampleLog().write(folder.path / "sample_log").items():
            arguments[f"{split}_path"] = str(path)
    runner = None
    if image:
        uri = arguments.get("serving_uri", "")
        serving = Path(uri) if uri and "://" not in uri else None
        runner = make_docker_runner(image, writable=folder.path, serving=serving, readable=planned.inputs)
    inputs = planned.pipeline.component_spec.inputs
    data = hash_files(planned.find_local_logs(arguments))
    parameters = effective_values(inputs, arguments)
    keys = make_keys(
        planned.pipeline.pipeline_spec,
        arguments,
        version=f"{SOURCE_VERSION} {image}",
        file_hashes={name: each["sha256"] for name, each in data.items()},
    )

    def complete(paths: Mapping[str, Path], display: Display) -> None:
        described = describe_run(
            data=data,
            report=json.loads((paths["events"] / "report.json").read_text()),
            preset=planned.preset,
            parameters=parameters,
            image=image,
            started=started,
            seconds=display.seconds,
        )
        add_to_metrics(paths["metrics"], described)

    return local.run_training(
        planned.pipeline,
        arguments,
        folder,
        runner=runner,
        display=display,
        keys=keys,
        config=make_config(inputs, arguments, preset=planned.preset),
        complete=complete,
    )


def _list_documents(artifacts: Mapping[str, Path]) -> dict[str, Path]:
    """Returns the JSON documents of a run by what they describe."""
    documents: dict[str, Any] = {"data": artifacts["events"] / "report.json"}
    return documents | {name: artifacts[name] for name in ("metrics", "verdict", "manifest") if name in artifacts}
