"""The command line. Parsing only: what a command does stands in the modules beside this one."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from components.image import IMAGE
from pipeline import local, presets
from pipeline.cluster.schedule_commands import schedule_command
from pipeline.cluster.submission import ClusterError
from pipeline.cluster.submit_command import submit_command
from pipeline.containers import make_docker_runner
from pipeline.report import print_metrics
from pipeline.retraining import make_retraining_pipeline
from pipeline.settings import parse_settings
from pipeline.tasks import Tasks
from pipeline.training import make_training_pipeline

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="two-tower")
def cli() -> None:
    """From session logs to a served two-tower retrieval model."""


@cli.command()
@click.option("--preset", default=None, help=f"{', '.join(presets.PRESETS)}; sample if no log is given.")
@click.option("--train", "train_path", type=EXISTING_FILE, help="TSV of the training sessions.")
@click.option("--valid", "valid_path", type=EXISTING_FILE, help="TSV of the validation sessions.")
@click.option("--test", "test_path", type=EXISTING_FILE, help="TSV of the test sessions.")
@click.option("--events", "log_path", help="Raw event log instead: a file, folder or glob, local, s3:// or gs://.")
@click.option(
    "--as-of", default="", metavar="DATE", help="End of the window of --events; the newest event if not given."
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Sets a pipeline parameter.")
@click.option(
    "--output",
    "output_dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("output"),
    show_default=True,
    help="Folder for the artifacts.",
)
@click.option("--runner", type=click.Choice(["subprocess", "docker"]), default="subprocess", show_default=True)
@click.option("--image", default=IMAGE, show_default=True, help="Image of the tasks of the docker runner.")
def run(
    preset: str | None,
    train_path: Path | None,
    valid_path: Path | None,
    test_path: Path | None,
    log_path: str | None,
    as_of: str,
    settings: tuple[str, ...],
    output_dir: Path,
    runner: str,
    image: str,
) -> None:
    """Runs a pipeline on this machine: on a raw log, on three split ones, or without any on a generated one."""
    paths = {"train": train_path, "valid": valid_path, "test": test_path}
    missing = [f"--{split}" for split, path in paths.items() if path is None]
    if log_path and len(missing) < 3:
        raise click.UsageError("Expected --events or --train, --valid and --test. Received: both")
    if as_of and not log_path:
        raise click.UsageError("Expected --as-of together with --events. Received: --as-of alone")
    if 0 < len(missing) < 3:
        raise click.UsageError(f"Expected --train, --valid and --test together. Missing: {', '.join(missing)}")
    arguments = presets.get_preset(preset or (presets.SAMPLE if missing and not log_path else presets.DEFAULT))
    tasks = Tasks(image=image)
    pipeline = make_retraining_pipeline(tasks) if log_path else make_training_pipeline(tasks)
    arguments.update(parse_settings(settings, pipeline.component_spec.inputs))
    if log_path:
        location = log_path if "://" in log_path else str(Path(log_path).resolve())
        arguments.update({"log_path": location, "as_of": as_of})
    elif missing:
        from pipeline.sample_log import SampleLog

        paths = dict(SampleLog().write(output_dir / "sample_log"))
    arguments.update({f"{split}_path": str(path.resolve()) for split, path in paths.items() if path})
    docker_runner = (
        make_docker_runner(image, writable=output_dir, readable=[path for path in paths.values() if path])
        if runner == "docker"
        else None
    )
    outputs = local.run_training(pipeline, arguments, output_dir, runner=docker_runner)
    print_metrics(json.loads(outputs["metrics"].read_text()), Console())
    click.echo(f"The artifacts lie in {output_dir}.")


@cli.command()
@click.option("--index", "index_dir", type=click.Path(path_type=Path), required=True, help="The exported index.")
@click.option("--session", required=True, metavar="ID,ID,...", help="Item ids of the session, from the oldest.")
@click.option("-k", default=10, show_default=True, help="How many items.")
@click.option("--exclude-seen", is_flag=True, help="Leave out what the session holds.")
def recommend(index_dir: Path, session: str, k: int, exclude_seen: bool) -> None:
    """Prints the best items for a session, an item and its score a line."""
    from components.export import index

    for item_id, score in index.recommend(index_dir, session.split(","), k=k, exclude_seen=exclude_seen):
        click.echo(f"{item_id}\t{score:.6f}")


cli.add_command(submit_command)
cli.add_command(schedule_command)


def main() -> None:
    """Runs the command line; what a user can mend ends in one line and the exit code 1."""
    try:
        cli()
    except (ValueError, FileNotFoundError, local.RunError, ClusterError) as error:
        click.echo(f"two-tower: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
