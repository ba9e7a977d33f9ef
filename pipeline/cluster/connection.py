"""The command-line options of a connection to a cluster, and the connection itself."""

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
    click.option("--host", default="", envvar="KF_PIPELINES_ENDPOINT", help="kfp: URL of the Kubeflow Pipelines API."),
    click.option(
        "--namespace", default="", envvar="KF_PIPELINES_NAMESPACE", help="kfp: your namespace, in multi-user mode."
    ),
    click.option(
        "--token", default="", envvar="KF_PIPELINES_TOKEN", help="kfp: bearer token; prefer the environment variable."
    ),
    click.option(
        "--cookie",
        default="",
        envvar="KF_PIPELINES_COOKIE",
        help="kfp: session cookie; prefer the environment variable.",
    ),
    click.option("--project", default="", help="vertex: Google Cloud project."),
    click.option("--location", default="us-central1", show_default=True, help="vertex: region."),
    click.option(
        "--calls-seconds",
        type=click.FloatRange(min=0, min_open=True),
        default=CALLS_SECONDS,
        show_default=True,
        help="Time limit for all calls to the cluster together; waiting for runs does not count.",
    ),
)
RETIRE_OPTION = click.option(
    "--retire-minutes",
    default=60.0,
    show_default=True,
    help="kfp: maximum wait for the last run of a replaced or deleted schedule.",
)


def add_connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of a connection to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@contextlib.contextmanager
def started_run(submission: Submission, name: str, options: dict[str, Any]) -> Iterator[Run]:
    """Starts a run, or finds the existing run of that name.

    Raises:
        ClusterError: the cluster cannot be reached or refuses a request, including requests inside the block.
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
    """Connects to the schedules of a cluster.

    Raises:
        ClusterError: the cluster cannot be reached or refuses a request, including requests inside the block.
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
