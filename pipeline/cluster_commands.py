"""The commands that talk to a cluster. Parsing only."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from components.image import IMAGE
from pipeline import presets, schedule, schedule_file, submit
from pipeline.client import Client, connect, explain_errors, make_run_url
from pipeline.compilation import PIPELINES, SCHEDULED_PIPELINE, TARGETS, compile_pipeline
from pipeline.cron import Cron
from pipeline.settings import parse_settings
from pipeline.tasks import Tasks

CONNECTION_OPTIONS = (
    click.option("--host", default="", envvar="KF_PIPELINES_ENDPOINT", help="URL of the pipelines' API."),
    click.option("--namespace", default="", envvar="KF_PIPELINES_NAMESPACE", help="Yours, where there are several."),
    click.option("--token", default="", envvar="KF_PIPELINES_TOKEN", help="Bearer token; better in the environment."),
    click.option("--cookie", default="", envvar="KF_PIPELINES_COOKIE", help="Session cookie; likewise."),
)
SUBMISSION_OPTIONS = (
    click.option("--image", default=IMAGE, show_default=True, help="Image of every task, with a tag that stays."),
    click.option("--accelerator", default="", help="For the training: nvidia.com/gpu, or NVIDIA_L4 on vertex."),
    click.option("--accelerator-count", default=1, show_default=True, help="How many of them."),
    click.option("--object-store-secret", default="", help="Secret with the keys of an S3-compatible store."),
    click.option("--preset", default="", help="sample, seed or retailrocket."),
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Sets a pipeline parameter."),
    click.option("--experiment", default="two-tower", show_default=True, help="What runs are grouped by."),
    click.option("--service-account", default="", help="Service account of the tasks."),
    click.option("--pipeline-root", default="", help="Where the artifacts go; on vertex a gs:// URI."),
)
RETIRE_OPTION = click.option(
    "--retire-minutes", default=60.0, show_default=True, help="How long to wait for a replaced schedule's last run."
)


def add_options(options: tuple[Callable[..., Any], ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds options that several commands have."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def make_submission(pipeline: str, target: str, options: dict[str, Any]) -> submit.Submission:
    """Makes a submission of SUBMISSION_OPTIONS."""
    tasks = Tasks(
        image=options["image"],
        platform=target,
        accelerator=options["accelerator"],
        num_accelerators=options["accelerator_count"],
        object_store_secret=options["object_store_secret"],
    )
    parameters = presets.get_preset(options["preset"]) if options["preset"] else {}
    parameters.update(parse_settings(options["settings"], compile_pipeline(pipeline, tasks).inputs))
    return submit.Submission(
        pipeline=pipeline,
        tasks=tasks,
        parameters=parameters,
        experiment=options["experiment"],
        service_account=options["service_account"],
        pipeline_root=options["pipeline_root"],
    )


def connect_with(options: dict[str, Any]) -> Client:
    """Connects with CONNECTION_OPTIONS."""
    return connect(**{name: options[name] for name in ("host", "namespace", "token", "cookie")})


def print_task(task: submit.TaskState) -> None:
    """Prints that a task entered a state."""
    style = {"SUCCEEDED": "green", "FAILED": "red", "RUNNING": "cyan"}.get(task.state, "")
    Console().print(f"{task.name:<20} [{style or 'dim'}]{task.state:<10}[/] {task.seconds:6.0f} s", highlight=False)


@click.command("submit")
@click.option("--pipeline", type=click.Choice(list(PIPELINES)), default="training", show_default=True)
@click.option("--target", type=click.Choice(TARGETS), default="kfp", show_default=True, help="Kind of cluster.")
@click.option("--project", default="", help="vertex: Google Cloud project.")
@click.option("--location", default="us-central1", show_default=True, help="vertex: region.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait for the end of the run.")
@click.option("--timeout-hours", default=24.0, show_default=True, help="How long to wait.")
@add_options(SUBMISSION_OPTIONS)
@add_options(CONNECTION_OPTIONS)
def submit_command(
    pipeline: str, target: str, project: str, location: str, follow: bool, timeout_hours: float, **options: Any
) -> None:
    """Runs a pipeline on a cluster and follows it.

    The exit code is 0 when it succeeded, 2 when it failed, 3 when it was cancelled, 4 when it goes on after
    --timeout-hours and 1 when it could not be started.
    """
    submission = make_submission(pipeline, target, options)
    if target == "vertex":
        from pipeline import vertex

        job = vertex.start_run(submission, project=project, location=location)
        url = job.url
        wait: Callable[..., str] = job.follow
    else:
        client = connect_with(options)
        with explain_errors(options["host"]):
            run_id = submit.start_run(client, submission)
        url = make_run_url(options["host"], run_id)
        wait = functools.partial(submit.follow_run, client, run_id)
    click.echo(url)
    if follow:
        try:
            with explain_errors(options["host"]):
                state = wait(print_task, timeout_seconds=timeout_hours * 3600)
        except TimeoutError as error:
            click.echo(f"two-tower: {error}", err=True)
            sys.exit(submit.TIMEOUT_CODE)
        if state == "FAILED" and target == "kfp":
            click.echo(f"two-tower: {submit.get_error(client, run_id)}", err=True)
        click.echo(f"{state} {url}")
        sys.exit(submit.EXIT_CODES[state])


@click.group("schedule", invoke_without_command=True)
@click.option("--name", default="two-tower", show_default=True, help="What the schedule is found by.")
@click.option("--cron", help='Five fields, as in "0 3 * * 1".')
@click.option("--time-zone", default="UTC", show_default=True, help="Zone of the cron fields.")
@click.option("--cluster-time-zone", default="UTC", show_default=True, help="CRON_SCHEDULE_TIMEZONE of the cluster.")
@click.option("--pipeline", type=click.Choice(list(PIPELINES)), default=SCHEDULED_PIPELINE, show_default=True)
@click.option("--enabled/--paused", default=True, show_default=True)
@click.option("--dry-run", is_flag=True, help="Print what would change.")
@RETIRE_OPTION
@add_options(SUBMISSION_OPTIONS)
@add_options(CONNECTION_OPTIONS)
@click.pass_context
def schedule_command(
    context: click.Context,
    /,
    name: str,
    cron: str | None,
    time_zone: str,
    cluster_time_zone: str,
    pipeline: str,
    enabled: bool,
    dry_run: bool,
    retire_minutes: float,
    **options: Any,
) -> None:
    """Creates a recurring run, or replaces the one of that name: no catch-up, one run at a time."""
    if context.invoked_subcommand:
        return
    if cron is None:
        raise click.UsageError('Expected --cron "MINUTE HOUR DAY MONTH WEEKDAY", or a command.')
    wanted = schedule.Schedule(
        name=name,
        cron=Cron(expression=cron, time_zone=time_zone),
        cluster_time_zone=cluster_time_zone,
        submission=make_submission(pipeline, "kfp", options),
        enabled=enabled,
    )
    _apply([wanted], options, dry_run=dry_run, prune=False, retire_minutes=retire_minutes)


@schedule_command.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--prune", is_flag=True, help="Delete the schedules of this tool that are not in the file.")
@click.option("--dry-run", is_flag=True, help="Print what would change.")
@RETIRE_OPTION
@add_options(CONNECTION_OPTIONS)
def apply_command(file: Path, prune: bool, dry_run: bool, retire_minutes: float, **options: Any) -> None:
    """Makes the cluster's schedules those of a file, such as schedules.yaml."""
    wanted = schedule_file.read_schedules(file)
    _apply(wanted, options, dry_run=dry_run, prune=prune, retire_minutes=retire_minutes)


def _apply(
    wanted: list[schedule.Schedule], options: dict[str, Any], *, dry_run: bool, prune: bool, retire_minutes: float
) -> None:
    client = connect_with(options)
    with explain_errors(options["host"]):
        lines = []
        for one in wanted:
            if dry_run:
                lines.extend(schedule.plan_schedule(client, one))
            else:
                lines.extend(schedule.apply_schedule(client, one, retire_seconds=retire_minutes * 60))
        names = {one.name for one in wanted}
        for installed in schedule.list_schedules(client) if prune else []:
            if installed.name not in names:
                lines.append(f"- {installed.name}: {installed.id}")
                if not dry_run:
                    schedule.delete_schedule(client, installed.name, retire_seconds=retire_minutes * 60)
    click.echo("\n".join(lines) or "nothing to change")


@schedule_command.command("list")
@add_options(CONNECTION_OPTIONS)
def list_command(**options: Any) -> None:
    """Lists the schedules of this tool."""
    client = connect_with(options)
    table = Table("name", "when", "state", "id", box=None)
    with explain_errors(options["host"]):
        for one in schedule.list_schedules(client):
            when = one.description.removeprefix(schedule.OWNER)
            table.add_row(one.name, when, "enabled" if one.enabled else "paused", one.id)
    Console().print(table)


@schedule_command.command("pause")
@click.argument("name")
@add_options(CONNECTION_OPTIONS)
def pause_command(name: str, **options: Any) -> None:
    """Starts no more runs; a run in progress goes on."""
    client = connect_with(options)
    with explain_errors(options["host"]):
        schedule.set_enabled(client, name, enabled=False)


@schedule_command.command("resume")
@click.argument("name")
@add_options(CONNECTION_OPTIONS)
def resume_command(name: str, **options: Any) -> None:
    """Starts runs again."""
    client = connect_with(options)
    with explain_errors(options["host"]):
        schedule.set_enabled(client, name, enabled=True)


@schedule_command.command("delete")
@click.argument("name")
@RETIRE_OPTION
@add_options(CONNECTION_OPTIONS)
def delete_command(name: str, retire_minutes: float, **options: Any) -> None:
    """Deletes a schedule, once its last run has ended."""
    client = connect_with(options)
    with explain_errors(options["host"]):
        schedule.delete_schedule(client, name, retire_seconds=retire_minutes * 60)
