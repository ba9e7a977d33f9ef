"""A Kubeflow Pipelines API in memory, over HTTP: it keeps state and refuses what the real one refuses.

Written from the API's description, the client's requests and recorded answers of the real one (`kubeflow_api/`). The
real one does more; what is here it does as well. As there, the second version of the API has no causes of failures:
they are in the workflow, which the first version has, and in the logs.
"""

import contextlib
import email
import email.policy
import functools
import json
import re
import socket
import struct
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

ACTIVE = ("PENDING", "RUNNING")
CRON_BOUNDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
JSON_TYPES = {
    "STRING": str,
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}


class RefusalError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def now() -> str:
    return datetime.now(tz=UTC).isoformat().replace("+00:00", "Z")


@dataclass
class Fault:
    """How answers go wrong, over a real socket."""

    calls: str  # regular expression for METHOD and path
    times: int = 1_000_000  # at so many of them
    carried_out: bool = True  # whether the call does what it should all the same
    reset: bool = False  # the connection breaks instead of an answer
    seconds_per_byte: float = 0.0  # of the whole answer, its headers included
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    body: bytes | None = None  # instead of the right one


class FakeKfp:
    """The state, and the routes that change it."""

    def __init__(self) -> None:
        self.token = ""
        self.page_size = 2  # small, so that every list has pages
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.specs: dict[str, dict[str, Any]] = {}  # by version
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recurring_runs: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.script: list[dict[str, Any]] = []  # what successive looks at a run find: fields, and its `workflow`
        self.workflows: dict[str, dict[str, Any]] = {}  # by run
        self.logs: dict[str, str] = {}  # by pod
        self.max_enabled: dict[str, int] = {}  # most schedules of a name that were ever enabled at once
        self.killed_runs: list[str] = []
        self.drop_from: int | None = None  # from this call on the connection breaks ...
        self.drop_once = False  # ... or at this call only ...
        self.drop_applied = False  # ... after the call was carried out
        self.faults: list[Fault] = []
        self.page_tokens = ""  # `endless` for always another page, `repeated` for always the same one
        self.lock = threading.Lock()

    def find_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and re.search(fault.calls, f"{method} {path}"):
                    fault.times -= 1
                    return fault
        return None

    def handle(
        self, method: str, path: str, query: dict[str, str], body: bytes, headers: Any
    ) -> dict[str, Any] | str | None:
        """Answers a request: with JSON, a text or, by breaking the connection, nothing."""
        with self.lock:
            index = len(self.calls)
            self.calls.append(f"{method} {path}")
            dropped = self.drop_from is not None and (
                index == self.drop_from or (index > self.drop_from and not self.drop_once)
            )
            first = index == self.drop_from
            if dropped and not (self.drop_applied and first):
                return None
            if self.token and headers.get("authorization") != f"Bearer {self.token}" and not path.endswith("/healthz"):
                raise RefusalError(401, "Unauthenticated")
            if path.startswith("/apis/v1"):
                return None if dropped else self.route_old(path)
            answer = self.route(method, path.removeprefix("/apis/v2beta1"), query, body, headers)
            for name in {run["display_name"] for run in self.recurring_runs.values()}:
                self.max_enabled[name] = max(self.max_enabled.get(name, 0), len(self.enabled(name)))
            return None if dropped else answer

    def enabled(self, name: str) -> list[dict[str, Any]]:
        return [r for r in self.recurring_runs.values() if r["display_name"] == name and r["status"] == "ENABLED"]

    def route_old(self, path: str) -> dict[str, Any] | str:
        """Routes of the API's first versions: a run with its workflow, and the log of a pod."""
        if match := re.fullmatch(r"/apis/v1beta1/runs/([\w-]+)", path):
            run = self.get(self.runs, match[1])
            runtime = {"workflow_manifest": json.dumps(self.workflows[match[1]])} if match[1] in self.workflows else {}
            return {"run": {"id": match[1], "name": run["display_name"]}, "pipeline_runtime": runtime}
        if match := re.fullmatch(r"/apis/v1alpha1/runs/([\w-]+)/nodes/([\w.-]+)/log", path):
            self.get(self.runs, match[1])
            # The real one has sent the status 200 before it looks for the log.
            message = f'Failed to read logs for run {match[1]}: pods "{match[2]}" not found'
            return self.logs.get(match[2]) or json.dumps({"error_message": message, "error_details": message})
        raise RefusalError(404, f"no such route: {path}")

    def route(self, method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> dict[str, Any]:
        if path == "/healthz":
            return {"multi_user": False}
        if path == "/pipelines/upload_version":
            return self.upload_version(query, body, headers)
        data = json.loads(body) if body else {}
        match = re.fullmatch(r"/(\w+)(?:/([\w-]+))?(?:/(versions)(?:/([\w-]+))?)?(?::(\w+))?", path)
        if match is None:
            raise RefusalError(404, f"no such route: {path}")
        kind, key, versions, version_key, action = match.groups()
        if kind == "pipelines" and versions:
            self.get(self.pipelines, key)
            mine = {k: v for k, v in self.versions.items() if v["pipeline_id"] == key}
            return self.get(mine, version_key) if version_key else self.page(mine, "pipeline_versions", query)
        table, create = {
            "pipelines": (self.pipelines, self.create_pipeline),
            "experiments": (self.experiments, self.create_experiment),
            "runs": (self.runs, self.create_run),
            "recurringruns": (self.recurring_runs, self.create_recurring_run),
        }.get(kind, (None, None))
        if table is None or create is None:
            raise RefusalError(404, f"no such route: {path}")
        if method == "POST" and not key:
            return create(data)
        if method == "GET" and not key:
            items = table
            if query.get("experiment_id"):
                items = {k: v for k, v in items.items() if v["experiment_id"] == query["experiment_id"]}
            return self.page(items, "recurringRuns" if kind == "recurringruns" else kind, query)
        item = self.get(table, key)
        if kind == "recurringruns" and method == "POST" and action in ("enable", "disable"):
            item["status"] = item["mode"] = {"enable": "ENABLED", "disable": "DISABLED"}[action]
            item["mode"] = action.upper()
            return {}
        if kind == "recurringruns" and method == "DELETE":
            for run in self.runs.values():
                if run.get("recurring_run_id") == key and run["state"] in ACTIVE:
                    run["state"] = "CANCELED"
                    self.killed_runs.append(run["run_id"])
            del table[key]
            return {}
        if kind == "runs" and method == "GET" and self.script:
            fields = dict(self.script.pop(0) if len(self.script) > 1 else self.script[0])
            self.workflows[key] = fields.pop("workflow", {})
            item.update(fields)
        if kind == "runs" and method == "POST" and action == "terminate":
            if item["state"] not in ACTIVE:
                raise RefusalError(400, f"the run {key} has ended")
            self.end(item, "CANCELING")
            return {}
        if kind == "runs" and method == "POST" and action == "retry":
            if item["state"] != "FAILED":
                raise RefusalError(500, f"Failed to retry run {key} as it does not allow retries")
            item["state"] = "PENDING"
            return {}
        if method == "GET" and not action:
            return item
        raise RefusalError(501, f"{method} {path}")

    @staticmethod
    def end(run: dict[str, Any], state: str) -> None:
        run["state"] = state
        run["state_history"] = [*run.get("state_history", []), {"update_time": now(), "state": state}]

    @staticmethod
    def get(table: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
        if key not in table:
            raise RefusalError(404, f"{key} not found")
        return table[key]

    def page(self, table: dict[str, dict[str, Any]], field: str, query: dict[str, str]) -> dict[str, Any]:
        items = list(table.values())
        if query.get("sort_by"):
            field_name, _, order = query["sort_by"].partition(" ")
            items.sort(key=lambda item: item[field_name], reverse=order == "desc")
        for predicate in json.loads(query["filter"])["predicates"] if query.get("filter") else []:
            if predicate["operation"] not in (1, "EQUALS"):
                raise RefusalError(400, f"unknown operation {predicate['operation']}")
            items = [item for item in items if item[predicate["key"]] == predicate["stringValue"]]
        if self.page_tokens:
            return {"next_page_token": "again" if self.page_tokens == "repeated" else str(uuid.uuid4())}
        start = int(query.get("page_token") or 0)
        end = start + min(int(query.get("page_size") or self.page_size), self.page_size)
        answer: dict[str, Any] = {"total_size": len(items)}
        if items[start:end]:  # the real one leaves empty fields out
            answer[field] = items[start:end]
        if end < len(items):
            answer["next_page_token"] = str(end)
        return answer

    @staticmethod
    def require_new(table: dict[str, dict[str, Any]], name: str, **scope: str) -> None:
        if not name:
            raise RefusalError(400, "the name is empty")
        for item in table.values():
            if item["display_name"] == name and all(item[key] == value for key, value in scope.items()):
                raise RefusalError(409, f"{name} already exists")

    def create_pipeline(self, data: dict[str, Any]) -> dict[str, Any]:
        self.require_new(self.pipelines, data.get("display_name", ""))
        item = {**data, "pipeline_id": str(uuid.uuid4()), "created_at": now()}
        self.pipelines[item["pipeline_id"]] = item
        return item

    def create_experiment(self, data: dict[str, Any]) -> dict[str, Any]:
        self.require_new(self.experiments, data.get("display_name", ""))
        item = {**data, "experiment_id": str(uuid.uuid4()), "created_at": now()}
        self.experiments[item["experiment_id"]] = item
        return item

    def upload_version(self, query: dict[str, str], body: bytes, headers: Any) -> dict[str, Any]:
        pipeline_id = query.get("pipelineid", "")
        self.get(self.pipelines, pipeline_id)
        self.require_new(self.versions, query.get("name", ""), pipeline_id=pipeline_id)
        message = email.message_from_bytes(
            b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP
        )
        (part,) = message.iter_parts()
        try:
            spec, platform = read_spec(part.get_payload(decode=True))
        except (yaml.YAMLError, json_format.ParseError, IndexError) as error:
            raise RefusalError(400, f"no pipeline spec: {error}") from error
        item = {
            "pipeline_id": pipeline_id,
            "pipeline_version_id": str(uuid.uuid4()),
            "display_name": query["name"],
            "created_at": now(),
            "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platform} if platform else spec,
        }
        self.versions[item["pipeline_version_id"]] = item
        self.specs[item["pipeline_version_id"]] = spec
        return item

    def check_job(self, data: dict[str, Any]) -> None:
        if not data.get("display_name"):
            raise RefusalError(400, "the name is empty")
        for name, field_name in (("DisplayName", "display_name"), ("Description", "description")):
            if len(data.get(field_name) or "") > 255:  # the columns of runs and schedules in the database
                raise RefusalError(500, f"Error 1406 (22001): Data too long for column '{name}' at row 1")
        self.get(self.experiments, data.get("experiment_id", ""))
        reference = data.get("pipeline_version_reference") or {}
        version = self.get(self.versions, reference.get("pipeline_version_id", ""))
        if version["pipeline_id"] != reference.get("pipeline_id"):
            raise RefusalError(400, "the version is another pipeline's")
        inputs = self.specs[version["pipeline_version_id"]]["root"].get("inputDefinitions", {}).get("parameters", {})
        parameters = (data.get("runtime_config") or {}).get("parameters") or {}
        for name, value in parameters.items():
            if name not in inputs:
                raise RefusalError(400, f"parameter {name} is not in the pipeline")
            if not isinstance(value, JSON_TYPES[inputs[name]["parameterType"]]):
                raise RefusalError(400, f"parameter {name} has the wrong type")
        for name, spec in inputs.items():
            if name not in parameters and "defaultValue" not in spec and not spec.get("isOptional"):
                raise RefusalError(400, f"parameter {name} is missing")

    def create_run(self, data: dict[str, Any]) -> dict[str, Any]:
        self.check_job(data)
        item = {**data, "run_id": str(uuid.uuid4()), "state": "PENDING", "created_at": now()}
        self.runs[item["run_id"]] = item
        return item

    def create_recurring_run(self, data: dict[str, Any]) -> dict[str, Any]:
        self.check_job(data)
        if not 1 <= int(data.get("max_concurrency") or 0) <= 10:
            raise RefusalError(400, "max concurrency must be at least 1 and at most 10")
        check_cron(data["trigger"]["cron_schedule"]["cron"])
        if data.get("mode") not in ("ENABLE", "DISABLE"):
            raise RefusalError(400, "unknown mode")
        item = {**data, "recurring_run_id": str(uuid.uuid4()), "status": f"{data['mode']}D", "created_at": now()}
        item["service_account"] = data.get("service_account") or "pipeline-runner"
        self.recurring_runs[item["recurring_run_id"]] = item
        return item


@functools.cache
def read_spec(payload: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline spec and the platform spec of a YAML, after a check of all its documents."""
    documents = list(yaml.safe_load_all(payload))
    json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
    for document in documents[1:]:
        json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
    return dict(documents[0]), dict(documents[1]) if len(documents) > 1 else {}


def check_cron(text: str) -> None:
    """Refuses what the scheduler's parser refuses: seconds first, the day of the week may be left out."""
    fields = text.split()
    if len(fields) not in (5, 6):
        raise RefusalError(400, f"schedule cron is not a supported format: {text}")
    for name, (low, high) in zip(fields, CRON_BOUNDS, strict=False):
        for part in name.split(","):
            numbers = [int(number) for number in re.findall(r"\d+", part.partition("/")[0])]
            if not re.fullmatch(r"(\*|\?|\d+(-\d+)?)(/\d+)?", part) or not all(low <= n <= high for n in numbers):
                raise RefusalError(400, f"schedule cron is not a supported format: {text}")


@contextmanager
def serve(state: FakeKfp) -> Iterator[str]:
    """Serves the state and gives the address."""
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet an answer: two wait 40 ms for each other

        def respond(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            fault = state.find_fault(self.command, url.path) or Fault(calls="")
            status, answer = fault.status, None
            try:
                if fault.carried_out:
                    answer = state.handle(self.command, url.path, query, body, self.headers)
            except RefusalError as error:
                status, answer = error.status, {"error": str(error), "message": str(error)}
            if fault.reset or (answer is None and fault.body is None):
                self.close_connection = True
                # Closed with something unsent to wait for, a socket sends a reset.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            payload = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            payload = payload if fault.body is None else fault.body
            if fault.seconds_per_byte:
                self.send_slowly(payload, fault.seconds_per_byte)
                return
            self.send_response(status)
            for name, value in {**fault.headers, "content-length": str(len(payload))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        def send_slowly(self, payload: bytes, seconds: float) -> None:
            self.close_connection = True
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
            with contextlib.suppress(OSError):  # the client went away
                for byte in head.encode() + payload:
                    self.connection.sendall(bytes([byte]))
                    if stopped.wait(seconds):
                        return

        do_GET = do_POST = do_DELETE = respond  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
