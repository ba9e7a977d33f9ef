"""The options that the cluster's commands share, and what is made of them."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import click

from components.image import IMAGE
from pipeline import presets
from pipeline.cluster.kubeflow import client as kfp_client
from pipeline.cluster.kubeflow import runs as kfp_runs
from pipeline.cluster.kubeflow.schedules import KfpSchedules
from pipeline.cluster.schedule import Schedules
from pipeline.cluster.submission import Run, Submission
from pipeline.cluster.vertex import client as vertex_client
from pipeline.cluster.vertex import runs as vertex_runs
from pipeline.cluster.vertex import schedules as vertex_schedules
from pipeline.compilation import TARGETS, compile_pipeline
from pipeline.settings import parse_settings
from pipeline.tasks import Tasks

CONNECTION_OPTIONS = (
    click.option("--target", type=click.Choice(TARGETS), default="kfp", show_default=True, help="Kind of cluster."),
    click.option("--host", default="", envvar="KF_PIPELINES_ENDPOINT", help="kfp: URL of the pipelines' API."),
    click.option("--namespace", default="", envvar="KF_PIPELINES_NAMESPACE", help="kfp: yours, if there are several."),
    click.option("--token", default="", envvar="KF_PIPELINES_TOKEN", help="kfp: bearer token; better as a variable."),
    click.option("--cookie", default="", envvar="KF_PIPELINES_COOKIE", help="kfp: session cookie; likewise."),
    click.option("--project", default="", help="vertex: Google Cloud project."),
    click.option("--location", default="us-central1", show_default=True, help="vertex: region."),
)
SUBMISSION_OPTIONS = (
    click.option("--image", default=IMAGE, show_default=True, help="Image of every task, with a tag that stays."),
    click.option("--accelerator", default="", help="For the training: nvidia.com/gpu, or NVIDIA_L4 on vertex."),
    click.option("--accelerator-count", default=1, show_default=True, help="How many of them."),
    click.option("--object-store-secret", default="", help="kfp: secret with the keys of an S3-compatible store."),
    click.option("--checkpoint-claim", default="", help="kfp: volume claim for the checkpoints of trainings."),
    click.option("--preset", default=presets.DEFAULT, show_default=True, help=", ".join(presets.PRESETS)),
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Sets a pipeline parameter."),
    click.option("--experiment", default="two-tower", show_default=True, help="kfp: what runs are grouped by."),
    click.option("--service-account", default="", help="Service account of the tasks."),
    click.option("--pipeline-root", default="", help="Where the artifacts go; on vertex a gs:// URI."),
)
RETIRE_OPTION = click.option(
    "--retire-minutes",
    default=60.0,
    show_default=True,
    help="kfp: how long to wait for a replaced schedule's last run.",
)


def add_options(options: tuple[Callable[..., Any], ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds options that several commands have."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def make_submission(pipeline: str, options: dict[str, Any]) -> Submission:
    """Makes a submission of SUBMISSION_OPTIONS for the target of CONNECTION_OPTIONS."""
    tasks = Tasks(
        image=options["image"],
        platform=options["target"],
        accelerator=options["accelerator"],
        num_accelerators=options["accelerator_count"],
        object_store_secret=options["object_store_secret"],
        checkpoint_claim=options["checkpoint_claim"],
    )
    parameters = presets.get_preset(options["preset"])
    parameters.update(parse_settings(options["settings"], compile_pipeline(pipeline, tasks).inputs))
    return Submission(
        pipeline=pipeline,
        tasks=tasks,
        parameters=parameters,
        experiment=options["experiment"],
        service_account=options["service_account"],
        pipeline_root=options["pipeline_root"],
    )


@contextlib.contextmanager
def started_run(submission: Submission, options: dict[str, Any]) -> Iterator[Run]:
    """Starts a run on the cluster of CONNECTION_OPTIONS.

    Raises:
        ClusterError: the cluster cannot be reached, or refuses something, the block's own requests included.
    """
    if options["target"] == "vertex":
        with vertex_client.explain_errors():
            yield vertex_runs.start_run(submission, project=options["project"], location=options["location"])
    else:
        client = _connect(options)
        with kfp_client.explain_errors(options["host"]):
            yield kfp_runs.start_run(client, submission, host=options["host"])


@contextlib.contextmanager
def connected_schedules(options: dict[str, Any]) -> Iterator[Schedules]:
    """Gives the schedules of the cluster of CONNECTION_OPTIONS.

    Raises:
        ClusterError: the cluster cannot be reached, or refuses something, the block's own requests included.
    """
    if options["target"] == "vertex":
        with vertex_client.explain_errors():
            yield vertex_schedules.connect(project=options["project"], location=options["location"])
    else:
        client = _connect(options)
        with kfp_client.explain_errors(options["host"]):
            yield KfpSchedules(client=client, retire_seconds=options.get("retire_minutes", 60.0) * 60)


def _connect(options: dict[str, Any]) -> kfp_client.Client:
    return kfp_client.connect(**{name: options[name] for name in ("host", "namespace", "token", "cookie")})
