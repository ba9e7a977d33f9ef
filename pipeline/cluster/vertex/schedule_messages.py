"""Converts schedules to and from the messages of Vertex AI's schedule service."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.cluster.schedule import Schedule
from pipeline.cluster.vertex.runs import VERSION_LABEL
from pipeline.compilation import Compiled, compile_pipeline

# Schedules have no labels, but their jobs do. This label contains a hash of the schedule's name. A schedule without it,
# or a copy of one under another name, is never changed or deleted.
OWNER_LABEL = "two-tower-schedule"
# The properties by which schedules are compared, and the field of the message that contains each.
FIELDS = {
    "times": "cron",
    "version": "create_pipeline_job_request",
    "parameters": "create_pipeline_job_request",
    "service account": "create_pipeline_job_request",
    "pipeline root": "create_pipeline_job_request",
    "starts at a time": "max_concurrent_run_count",
    "concurrent runs": "max_concurrent_active_run_count",
    "queueing": "allow_queueing",
}


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A schedule on Vertex.

    Attributes:
        id: resource name, which ends with a number.
        name: the display name.
        state: ACTIVE, PAUSED or COMPLETED.
        catch_up: whether it was last resumed with catch-up on missed runs.
        ends: whether it has an end date or a maximum number of runs, which cannot be removed.
        fields: the value of each key of FIELDS.
    """

    id: str
    name: str
    state: str
    catch_up: bool
    ends: bool
    fields: Mapping[str, Any]


def make_message(schedule: Schedule, *, parent: str) -> Any:
    """Returns the message that creates the schedule in `parent`."""
    from google.cloud import aiplatform_v1

    submission = schedule.submission
    pipeline = compile_schedule(schedule)
    job = aiplatform_v1.PipelineJob(
        pipeline_spec=_load(pipeline.text),
        runtime_config={
            "gcs_output_directory": submission.pipeline_root,
            "parameter_values": dict(submission.parameters),
        },
        labels={VERSION_LABEL: pipeline.content_hash, OWNER_LABEL: _hash(schedule.name)},
        service_account=submission.service_account,
    )
    return aiplatform_v1.Schedule(
        display_name=schedule.name,
        cron=schedule.cron.render_vertex(),
        create_pipeline_job_request={"parent": parent, "pipeline_job": job},
        max_concurrent_run_count=1,
        max_concurrent_active_run_count=1,
    )


def read_message(schedule: Any) -> Installed:
    """Parses the message of a schedule."""
    from google.protobuf import json_format

    job = schedule.create_pipeline_job_request.pipeline_job
    config = json_format.MessageToDict(type(job.runtime_config).pb(job.runtime_config))
    zone, _, expression = schedule.cron.removeprefix("CRON_").removeprefix("TZ=").partition(" ")
    has_zone = schedule.cron.startswith(("TZ=", "CRON_TZ="))
    return Installed(
        id=schedule.name,
        name=schedule.display_name,
        state=schedule.state.name,
        catch_up=schedule.catch_up,
        ends=bool(schedule.end_time or schedule.max_run_count),
        fields={
            "times": f"{expression} {zone}" if has_zone else schedule.cron,
            "version": job.labels.get(VERSION_LABEL, ""),
            "parameters": config.get("parameterValues", {}),
            "service account": job.service_account,
            "pipeline root": job.runtime_config.gcs_output_directory,
            "starts at a time": schedule.max_concurrent_run_count,
            "concurrent runs": schedule.max_concurrent_active_run_count,
            "queueing": schedule.allow_queueing,
        },
    )


def describe_wanted(schedule: Schedule, installed: Installed) -> dict[str, Any]:
    """Describes the wanted schedule; a service account that is not set, and cannot be unset, is that of `installed`."""
    submission = schedule.submission
    return {
        "times": schedule.times,
        "version": compile_schedule(schedule).content_hash,
        "parameters": dict(submission.parameters),
        "service account": submission.service_account or installed.fields["service account"],
        "pipeline root": submission.pipeline_root,
        "starts at a time": 1,
        "concurrent runs": 1,
        "queueing": False,
    }


def is_ours(schedule: Any) -> bool:
    """Returns whether this tool created the schedule."""
    labels = schedule.create_pipeline_job_request.pipeline_job.labels
    return bool(labels.get(OWNER_LABEL) == _hash(schedule.display_name))


def compile_schedule(schedule: Schedule) -> Compiled:
    """Compiles the pipeline of a schedule."""
    return compile_pipeline(schedule.submission.pipeline, schedule.submission.tasks)


@functools.cache
def _load(text: str) -> Any:
    """Parses a pipeline's YAML to a protobuf Struct, which messages take as it is."""
    from google.protobuf import json_format, struct_pb2

    return json_format.ParseDict(yaml.safe_load(text), struct_pb2.Struct())


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]
