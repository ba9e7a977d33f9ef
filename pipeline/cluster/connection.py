"""The options that say where a cluster is, and the connection that is made of them."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import click

from pipeline.cluster.deadline import CALLS_SECONDS, Deadline
from pipeline.cluster.kubeflow import client as kfp_client
from pipeline.cluster.kubeflow import runs as kfp_runs
from pipeline.cluster.kubeflow.schedules import KfpSchedules
from pipeline.cluster.options import TARGET
from pipeline.cluster.schedule import Schedules
from pipeline.cluster.submission import Run, Submission
from pipeline.cluster.vertex import client as vertex_client
from pipeline.cluster.vertex import runs as vertex_runs
from pipeline.cluster.vertex import schedules as vertex_schedules

_OPTIONS = (
    TARGET.make_option(),
    click.option("--host", default="", envvar="KF_PIPELINES_ENDPOINT", help="kfp: URL of the pipelines' API."),
    click.option("--namespace", default="", envvar="KF_PIPELINES_NAMESPACE", help="kfp: yours, if there are several."),
    click.option("--token", default="", envvar="KF_PIPELINES_TOKEN", help="kfp: bearer token; better as a variable."),
    click.option("--cookie", default="", envvar="KF_PIPELINES_COOKIE", help="kfp: session cookie; likewise."),
    click.option("--project", default="", help="vertex: Google Cloud project."),
    click.option("--location", default="us-central1", show_default=True, help="vertex: region."),
    click.option(
        "--calls-seconds",
        type=click.FloatRange(min=0, min_open=True),
        default=CALLS_SECONDS,
        show_default=True,
        help="How long all calls to the cluster may take, the waiting for runs aside.",
    ),
)
RETIRE_OPTION = click.option(
    "--retire-minutes",
    default=60.0,
    show_default=True,
    help="kfp: how long to wait for a replaced schedule's last run.",
)


def add_connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that the functions below read."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@contextlib.contextmanager
def started_run(submission: Submission, name: str, options: dict[str, Any]) -> Iterator[Run]:
    """Starts a run, or finds the one of that name.

    Raises:
        ClusterError: the cluster cannot be reached, or refuses something, the block's own requests included.
    """
    if options["target"] == "vertex":
        with vertex_client.explain_errors():
            yield vertex_runs.start_run(submission, name=name, **_get_place(options))
    else:
        client = _connect(options)
        with kfp_client.explain_errors(options["host"]):
            yield kfp_runs.start_run(client, submission, name=name, host=options["host"])


@contextlib.contextmanager
def connected_schedules(options: dict[str, Any]) -> Iterator[Schedules]:
    """Gives the schedules of the cluster.

    Raises:
        ClusterError: the cluster cannot be reached, or refuses something, the block's own requests included.
    """
    if options["target"] == "vertex":
        with vertex_client.explain_errors():
            yield vertex_schedules.connect(**_get_place(options))
    else:
        client = _connect(options)
        with kfp_client.explain_errors(options["host"]):
            yield KfpSchedules(client=client, retire_seconds=options.get("retire_minutes", 60.0) * 60)


def _get_place(options: dict[str, Any]) -> dict[str, Any]:
    deadline = Deadline(options["calls_seconds"])
    return {"project": options["project"], "location": options["location"], "deadline": deadline}


def _connect(options: dict[str, Any]) -> kfp_client.Client:
    names = ("host", "namespace", "token", "cookie", "calls_seconds")
    return kfp_client.connect(**{name: options[name] for name in names})
