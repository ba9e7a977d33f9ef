"""The routes of the server."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.serve import open_inference, tensorflow_serving
from components.serve.admission import Admission
from components.serve.batching import Batcher
from components.serve.demo import Demo
from components.serve.metrics import Metrics
from components.serve.parameters import ServeParameters
from components.serve.queries import RANKING, RequestError
from components.serve.versions import Versions

logger = logging.getLogger(__name__)


class App:
    """Answers HTTP requests.

    Args:
        parameters: the parameters of the server.
        versions: what answers queries.
        metrics: where to record the answers.
        titles: titles of items by their ids.
        is_stopping: whether the server shuts down.

    Attributes:
        asgi: the application.
    """

    def __init__(
        self,
        parameters: ServeParameters,
        versions: Versions,
        metrics: Metrics,
        titles: dict[str, str],
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._parameters = parameters
        self._versions = versions
        self._metrics = metrics
        self._is_stopping = is_stopping
        self._admission = Admission(parameters)
        demo = Demo(parameters, titles, self._admission, self._find)
        model, v2 = "/v1/models/{model}", "/v2/models/{model}"
        routes = []
        for prefix in (model, f"{model}/versions/{{version}}"):
            routes += [
                Route(f"{prefix}:predict", self.predict, methods=["POST"]),
                Route(f"{prefix}/metadata", self.metadata),
                Route(prefix, self.status),
            ]
        for prefix in (v2, f"{v2}/versions/{{version}}"):
            routes += [
                Route(f"{prefix}/infer", self.infer, methods=["POST"]),
                Route(f"{prefix}/ready", self.ready),
                Route(prefix, self.model_metadata),
            ]
        routes += [
            Route("/v2", self.server_metadata),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            Route("/metrics", self.show_metrics),
            Route("/", demo.page),
            Route("/demo/items", demo.items),
            Route("/demo/recommend", demo.recommend, methods=["POST"]),
        ]
        handlers: dict[Any, Callable[..., Awaitable[Response]]] = {
            RequestError: _refuse,
            HTTPException: _refuse,
            Exception: _fail,
        }
        self.asgi: ASGIApp = Recorder(
            Starlette(routes=routes, exception_handlers=handlers), metrics, log_requests=parameters.log_requests
        )

    def _find(self, request: Request) -> Batcher:
        """Returns what answers for the model and the version of a request.

        Raises:
            RequestError: there is no such model or version, or none is loaded yet.
        """
        name, version = (request.path_params.get(key) for key in ("model", "version"))
        if name not in (None, self._parameters.model_name):
            raise RequestError(
                f"Servable not found for request: Latest({ascii(name)[1:-1]}). The model is "
                f"{self._parameters.model_name}.",
                404,
            )
        number = None
        if version is not None:
            number = int(version) if version.isascii() and version.isdigit() and len(version) < 19 else -1
        batcher = self._versions.find(number)
        if batcher is None and (self._versions.current is None and number != -1):
            raise RequestError(f"No version is loaded yet. {self._versions.problem}".strip(), 503)
        if batcher is None:
            raise RequestError(
                f"Servable not found for request: Specific({name}, {ascii(version)[1:-1]}). "
                f"The version that is served is {self._versions.current and self._versions.current.index.version}.",
                404,
            )
        return batcher

    async def predict(self, request: Request) -> Response:
        """TensorFlow Serving: answers sessions."""
        self._find(request)  # what is not there is said before the body is read, and is found anew afterwards
        async with self._admission.read(request) as body:
            query, is_rows = tensorflow_serving.parse_predict(body, self._parameters)
            batcher = self._find(request)
            if query.signature in RANKING:
                document = tensorflow_serving.render_ranked(await batcher.rank(query), is_rows=is_rows)
            else:
                document = tensorflow_serving.render_output(await batcher.call(query), is_rows=is_rows)
            return JSONResponse(document)

    async def status(self, request: Request) -> Response:
        """TensorFlow Serving: states of the versions."""
        batcher = self._find(request)
        current = self._versions.current
        served = dict.fromkeys(self._versions.retiring, "UNLOADING")
        if current is not None:
            served[current.index.version] = "AVAILABLE"
        failures = {number: each.reason for number, each in self._versions.failures.items()}
        if "version" in request.path_params:
            served, failures = {batcher.index.version: served[batcher.index.version]}, {}
        return JSONResponse(tensorflow_serving.render_status(served, failures))

    async def metadata(self, request: Request) -> Response:
        """TensorFlow Serving: signatures of a version."""
        index = self._find(request).index
        return JSONResponse(
            tensorflow_serving.render_metadata(self._parameters.model_name, index.version, index.signature_def)
        )

    async def infer(self, request: Request) -> Response:
        """Open Inference Protocol: answers sessions."""
        self._find(request)
        if "inference-header-content-length" in request.headers:
            raise RequestError("Expected JSON data. Received: the extension for binary data", 400)
        async with self._admission.read(request) as body:
            query, request_id = open_inference.parse_infer(body, self._parameters)
            batcher = self._find(request)
            return JSONResponse(
                open_inference.render_infer(
                    await batcher.rank(query),
                    model_name=self._parameters.model_name,
                    version=batcher.index.version,
                    request_id=request_id,
                )
            )

    async def model_metadata(self, request: Request) -> Response:
        """Open Inference Protocol: describes the model."""
        index = self._find(request).index
        return JSONResponse(open_inference.render_metadata(self._parameters.model_name, [index.version]))

    async def server_metadata(self, request: Request) -> Response:
        """Open Inference Protocol: describes the server."""
        return JSONResponse({"name": "two-tower", "version": "1", "extensions": []})

    async def live(self, request: Request) -> Response:
        """Open Inference Protocol: the process answers."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """Open Inference Protocol: a version is loaded and warm, and the server does not shut down."""
        if self._is_stopping():
            raise RequestError("The server shuts down.", 503)
        self._find(request)
        return JSONResponse({"ready": True})

    async def show_metrics(self, request: Request) -> Response:
        """Metrics for Prometheus."""
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _refuse(request: Request, error: RequestError | HTTPException) -> Response:
    """Answers what cannot be answered, in the form of TensorFlow Serving."""
    headers: dict[str, str] = {}
    if isinstance(error, RequestError):
        status, message = error.status, str(error)
        if status in (429, 503):
            headers["retry-after"] = "1"
    else:
        status, headers = error.status_code, dict(error.headers or {})
        message = f"Malformed request: {request.method} {ascii(request.url.path[:200])[1:-1]}"
    return JSONResponse({"error": message}, status_code=status, headers=headers)


async def _fail(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "The server failed; its log says why."}, status_code=500)


class Recorder:
    """Counts, times and logs the answers of an application.

    Args:
        app: the application.
        metrics: where to record.
        log_requests: whether to log each request.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, *, log_requests: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._log_requests = log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 0

        async def record(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-content-type-options", b"nosniff"))
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, record)
        except Exception:  # answered with 500 already
            logger.exception("A request to %s failed.", scope["path"])
        finally:
            self._metrics.in_flight.dec()
            seconds = time.perf_counter() - begin
            # Names of functions: their number is small, that of paths is not.
            route = getattr(scope.get("endpoint"), "__name__", "none")
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            if self._log_requests:
                details = {"method": scope["method"], "path": scope["path"], "status": status, "seconds": seconds}
                logger.info("request", extra={"details": details})
