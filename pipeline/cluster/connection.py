"""The command-line options of a connection to a cluster, and the connection itself."""

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from pipeline.cluster.deadline import CALLS_SECONDS, Deadline
from pipeline.cluster.kubeflow import client as kfp_client
from pipeline.cluster.kubeflow import run as kfp_run
from pipeline.cluster.kubeflow import runs as kfp_runs
from pipeline.cluster.kubeflow.schedules import KfpSchedules
from pipeline.cluster.options import TARGET
from pipeline.cluster.run import ListedRun, Run
from pipeline.cluster.schedule import Schedules
from pipeline.cluster.submission import ClusterError, Submission
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
_MAX_LISTED = 1_000  # runs among which one is found by its name or by the beginning of its id
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


def start_run(submission: Submission, name: str, options: dict[str, Any]) -> Run:
    """Starts a run, or finds the existing run of that name.

    Raises:
        ClusterError: the cluster cannot be reached or refuses a request.
    """
    if options["target"] == "vertex":
        with vertex_client.explain_errors():
            return vertex_runs.start_run(submission, name=name, **_get_place(options))
    client = _connect(options)
    with kfp_client.explain_errors(options["host"]):
        return kfp_runs.start_run(client, submission, name=name, host=options["host"])


def list_runs(experiment: str, limit: int, options: dict[str, Any]) -> list[ListedRun]:
    """Lists runs, newest first.

    Args:
        experiment: kfp only: their experiment; empty for all.
        limit: maximum number of runs.
        options: values of the options of a connection.

    Raises:
        ClusterError: the cluster cannot be reached or refuses a request.
    """
    if options["target"] == "vertex":
        with vertex_client.explain_errors():
            return vertex_runs.list_runs(limit=limit, **_get_place(options))
    client = _connect(options)
    with kfp_client.explain_errors(options["host"]):
        return kfp_run.list_runs(client, experiment, limit=limit)


def find_run(text: str, experiment: str, options: dict[str, Any]) -> Run:
    """Finds a run.

    Args:
        text: its id or name, the beginning of one of them, or `latest`.
        experiment: kfp only: its experiment, unless `text` is the whole id; empty for all.
        options: values of the options of a connection.

    Raises:
        ClusterError: no run or several runs match, or the cluster cannot be reached or refuses a request.
    """
    is_whole_id = re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) is not None
    run_id = text if is_whole_id else select_run(list_runs(experiment, _MAX_LISTED, options), text).id
    if options["target"] == "vertex":
        with vertex_client.explain_errors():
            return vertex_runs.get_run(run_id, **_get_place(options))
    return kfp_run.Run(_connect(options), run_id, options["host"])


def select_run(runs: Sequence[ListedRun], text: str) -> ListedRun:
    """Selects a run by its id or name, the beginning of one of them, or `latest`.

    Raises:
        ClusterError: no run or several runs match.
    """
    if text == "latest" and runs:
        return runs[0]
    found = [run for run in runs if text in (run.id, run.name)]
    found = found or [run for run in runs if text and (run.id.startswith(text) or run.name.startswith(text))]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{run.id} ({run.name})" for run in (found or runs)[:5]) or "none"
    raise ClusterError(
        f"Expected a run, by its id, its name, the beginning of one of them, or latest. Received: {text!r}, and "
        f"{'these match it' if found else 'the newest runs are'}: {listed}"
    )


def make_command(words: Sequence[str], options: dict[str, Any]) -> str:
    """Returns a command line for the same cluster, quoted for a shell; credentials are left to the environment.

    Args:
        words: the command and its arguments, without `two-tower`.
        options: values of the options of a connection.
    """
    words = ["two-tower", *words]
    if options["target"] == "vertex":
        words += ["--target", "vertex", "--project", options["project"], "--location", options["location"]]
    elif options["host"] and options["host"] != os.environ.get("KF_PIPELINES_ENDPOINT"):
        words += ["--host", options["host"]]
    if options["namespace"] and options["namespace"] != os.environ.get("KF_PIPELINES_NAMESPACE"):
        words += ["--namespace", options["namespace"]]
    return shlex.join(words)


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
