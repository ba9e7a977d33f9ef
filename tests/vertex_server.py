"""Vertex AI's schedule service (v1) in memory, over gRPC: it keeps state and refuses what the real one refuses.

Written from the API's description (the service's and the messages' comments). The real one does more; where that
leaves open what it refuses, this one refuses.
"""

import functools
import re
import threading
import zoneinfo
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.services.schedule_service.transports import ScheduleServiceGrpcTransport
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, json_format
from kfp.pipeline_spec import pipeline_spec_pb2

State = aiplatform_v1.Schedule.State
SERVICE = "google.cloud.aiplatform.v1.ScheduleService"
CRON_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
CHANGEABLE = {
    "cron",
    "display_name",
    "start_time",
    "end_time",
    "max_run_count",
    "max_concurrent_run_count",
    "max_concurrent_active_run_count",
    "allow_queueing",
    "create_pipeline_job_request",
}
OUTPUT_ONLY = (
    "state",
    "create_time",
    "update_time",
    "next_run_time",
    "last_pause_time",
    "last_resume_time",
    "catch_up",
)
JSON_TYPES = {
    "STRING": str,
    "NUMBER_INTEGER": float,
    "NUMBER_DOUBLE": float,
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}


class RefusalError(Exception):
    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def refuse(message: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> None:
    raise RefusalError(code, message)


class FakeVertex:
    """The state, and the methods that change it."""

    def __init__(self) -> None:
        self.page_size = 2  # small, so that every list has pages
        self.schedules: dict[str, Any] = {}
        self.num_created = 0
        self.calls: list[str] = []
        self.max_active: dict[str, int] = {}  # most schedules of a name that were ever active at once
        self.min_count: dict[str, int] = {}  # fewest schedules of a name there ever were after the first
        self.slow_deletes = False  # an operation that is not done when it is answered
        self.page_tokens = ""  # `endless` for always another page, `repeated` for always the same one
        self.drop_from: int | None = None  # from this call on the connection breaks ...
        self.drop_once = False  # ... or at this call only ...
        self.drop_applied = False  # ... after the call was carried out
        self.lock = threading.Lock()

    def handle(self, method: str, request: Any) -> Any:
        """Answers a request; None means that the connection breaks."""
        with self.lock:
            index = len(self.calls)
            self.calls.append(method)
            dropped = self.drop_from is not None and (
                index == self.drop_from or (index > self.drop_from and not self.drop_once)
            )
            if dropped and not (self.drop_applied and index == self.drop_from):
                return None
            answer = getattr(self, method)(request)
            for name in {schedule.display_name for schedule in self.schedules.values()} | set(self.min_count):
                self.max_active[name] = max(self.max_active.get(name, 0), len(self.named(name, State.ACTIVE)))
                self.min_count[name] = min(self.min_count.get(name, 10), len(self.named(name)))
            return None if dropped else answer

    def named(self, name: str, *states: Any) -> list[Any]:
        return [s for s in self.schedules.values() if s.display_name == name and (not states or s.state in states)]

    def get(self, name: str) -> Any:
        if name not in self.schedules:
            refuse(f"{name} is not found", grpc.StatusCode.NOT_FOUND)
        return self.schedules[name]

    def create_schedule(self, request: Any) -> Any:
        schedule = aiplatform_v1.Schedule(request.schedule)
        for field in OUTPUT_ONLY:
            setattr(schedule, field, None)
        self.check(schedule, request.parent)
        self.num_created += 1
        schedule.name = f"{request.parent}/schedules/{self.num_created}"
        schedule.state = State.ACTIVE
        schedule.create_time = datetime.now(tz=UTC)
        schedule.start_time = schedule.start_time or schedule.create_time
        self.schedules[schedule.name] = schedule
        return schedule

    def list_schedules(self, request: Any) -> Any:
        if request.filter not in ("", "create_pipeline_job_request:*"):
            refuse(f"unknown filter {request.filter!r}")
        if request.order_by not in ("", "create_time", "create_time desc"):
            refuse(f"unknown order {request.order_by!r}")
        mine = [s for s in self.schedules.values() if s.name.startswith(f"{request.parent}/schedules/")]
        mine.sort(key=lambda schedule: schedule.create_time, reverse=request.order_by != "create_time")
        if request.filter:
            mine = [schedule for schedule in mine if "create_pipeline_job_request" in schedule]
        if self.page_tokens:
            token = "again" if self.page_tokens == "repeated" else str(len(self.calls))
            return aiplatform_v1.ListSchedulesResponse(next_page_token=token)
        start = int(request.page_token or 0)
        end = start + min(request.page_size or self.page_size, self.page_size)
        return aiplatform_v1.ListSchedulesResponse(
            schedules=mine[start:end], next_page_token=str(end) if end < len(mine) else ""
        )

    def update_schedule(self, request: Any) -> Any:
        old = self.get(request.schedule.name)
        if old.state not in (State.ACTIVE, State.PAUSED):
            refuse("only an active or paused schedule can be updated", grpc.StatusCode.FAILED_PRECONDITION)
        paths = list(request.update_mask.paths)
        if not paths or not set(paths) <= CHANGEABLE:
            refuse(f"the update mask is empty or has unknown paths: {paths}")
        new = aiplatform_v1.Schedule(old)
        for path in paths:
            value = getattr(request.schedule, path)
            if path not in request.schedule and not isinstance(value, bool):
                refuse(f"{path} cannot be unset")
            setattr(new, path, value)
        accounts = [s.create_pipeline_job_request.pipeline_job.service_account for s in (old, new)]
        if accounts[0] and not accounts[1]:
            refuse("the service account cannot be unset")
        self.check(new, old.name.partition("/schedules/")[0])
        new.update_time = datetime.now(tz=UTC)
        self.schedules[old.name] = new
        return new

    def delete_schedule(self, request: Any) -> Any:
        self.get(request.name)
        del self.schedules[request.name]
        operation = operations_pb2.Operation(name=f"{request.name}/operations/1")
        return operation if self.slow_deletes else self.get_operation(operation)

    def get_operation(self, request: Any) -> Any:
        operation = operations_pb2.Operation(name=request.name, done=True)
        operation.response.Pack(empty_pb2.Empty())
        return operation

    def pause_schedule(self, request: Any) -> Any:
        self.move(request.name, State.ACTIVE, State.PAUSED)
        return empty_pb2.Empty()

    def resume_schedule(self, request: Any) -> Any:
        self.move(request.name, State.PAUSED, State.ACTIVE)
        self.schedules[request.name].catch_up = request.catch_up
        return empty_pb2.Empty()

    def move(self, name: str, before: Any, after: Any) -> None:
        if self.get(name).state != before:
            refuse(f"the schedule is not {before.name}", grpc.StatusCode.FAILED_PRECONDITION)
        self.schedules[name].state = after

    @staticmethod
    def check(schedule: Any, parent: str) -> None:
        if not re.fullmatch(r"projects/[\w-]+/locations/[\w-]+", parent):
            refuse(f"no parent: {parent!r}")
        if not 1 <= len(schedule.display_name) <= 128:
            refuse("the display name must have 1 to 128 characters")
        if schedule.max_concurrent_run_count < 1:
            refuse("max_concurrent_run_count is required")
        check_cron(schedule.cron)
        request = schedule.create_pipeline_job_request
        if request.parent != parent:
            refuse(f"the parent of the request is another: {request.parent!r}")
        check_job(aiplatform_v1.PipelineJob.serialize(request.pipeline_job))


def check_cron(text: str) -> None:
    """Refuses all but five fields, after a time zone or without."""
    match = re.fullmatch(r"(?:(?:CRON_)?TZ=(\S+) )?(\S+ \S+ \S+ \S+ \S+)", text)
    if match is None:
        refuse(f"no cron expression: {text!r}")
    zone, fields = match.groups()
    if zone and zone not in zoneinfo.available_timezones():
        refuse(f"no time zone: {zone!r}")
    for field, (low, high) in zip(fields.split(), CRON_BOUNDS, strict=True):
        for part in field.split(","):
            numbers = [int(number) for number in re.findall(r"\d+", part.partition("/")[0])]
            if not re.fullmatch(r"(\*|\d+(-\d+)?)(/\d+)?", part) or not all(low <= n <= high for n in numbers):
                refuse(f"no cron expression: {text!r}")


@functools.cache
def check_job(serialized: bytes) -> None:
    """Refuses a job that could not be created."""
    job = aiplatform_v1.PipelineJob.deserialize(serialized)
    message = json_format.MessageToDict(aiplatform_v1.PipelineJob.pb(job))
    try:
        spec = json_format.ParseDict(message.get("pipelineSpec", {}), pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        refuse(f"no pipeline spec: {error}")
    if not spec.pipeline_info.name or spec.schema_version != "2.1.0":
        refuse("no pipeline spec")
    if not job.runtime_config.gcs_output_directory.startswith("gs://"):
        refuse("gcs_output_directory is required")
    for label in (*job.labels, *job.labels.values()):
        if not re.fullmatch(r"[a-z0-9_-]{1,63}", label):
            refuse(f"no label: {label!r}")
    inputs = message["pipelineSpec"]["root"].get("inputDefinitions", {}).get("parameters", {})
    parameters = message["runtimeConfig"].get("parameterValues", {})
    for name, value in parameters.items():
        if name not in inputs:
            refuse(f"parameter {name} is not in the pipeline")
        if not isinstance(value, JSON_TYPES[inputs[name]["parameterType"]]):
            refuse(f"parameter {name} has the wrong type")
    for name, definition in inputs.items():
        if name not in parameters and "defaultValue" not in definition and not definition.get("isOptional"):
            refuse(f"parameter {name} is missing")


@contextmanager
def serve(state: FakeVertex) -> Iterator[str]:
    """Serves the state and gives the address."""

    def answer(method: str) -> Callable[[Any, grpc.ServicerContext], Any]:
        def respond(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                answered = state.handle(method, request)
            except RefusalError as error:
                context.abort(error.code, str(error))
            if answered is None:
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            return answered

        return respond

    def handler(method: str, request: Any, response: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            answer(method),
            request_deserializer=getattr(request, "deserialize", None) or request.FromString,
            response_serializer=getattr(response, "serialize", None) or response.SerializeToString,
        )

    v1, operation, empty = aiplatform_v1, operations_pb2.Operation, empty_pb2.Empty
    schedules = {
        "CreateSchedule": handler("create_schedule", v1.CreateScheduleRequest, v1.Schedule),
        "ListSchedules": handler("list_schedules", v1.ListSchedulesRequest, v1.ListSchedulesResponse),
        "UpdateSchedule": handler("update_schedule", v1.UpdateScheduleRequest, v1.Schedule),
        "DeleteSchedule": handler("delete_schedule", v1.DeleteScheduleRequest, operation),
        "PauseSchedule": handler("pause_schedule", v1.PauseScheduleRequest, empty),
        "ResumeSchedule": handler("resume_schedule", v1.ResumeScheduleRequest, empty),
    }
    operations = {"GetOperation": handler("get_operation", operations_pb2.GetOperationRequest, operation)}
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(SERVICE, schedules),
            grpc.method_handlers_generic_handler("google.longrunning.Operations", operations),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """Gives the real client of the service, on an address without TLS or credentials."""
    with grpc.insecure_channel(address) as channel:
        yield aiplatform_v1.ScheduleServiceClient(transport=ScheduleServiceGrpcTransport(channel=channel))
