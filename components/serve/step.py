"""Serves a serving location, or an index, until the process is told to end."""

import asyncio
import functools
import logging
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import uvicorn
import uvloop

from components.core.machine import configure_tensorflow
from components.serve.app import App
from components.serve.batching import Batcher
from components.serve.items import log_matches
from components.serve.json_logs import write_json_logs
from components.serve.loaded_index import LoadedIndex
from components.serve.metrics import Metrics
from components.serve.parameters import ServeParameters
from components.serve.preparation import Prepared
from components.serve.protocol import BoundedProtocol
from components.serve.versions import Versions

KEEP_ALIVE_SECONDS = 75  # longer than load balancers keep idle connections, so that it is they who close them
BACKLOG = 4_096  # connections that wait to be accepted

logger = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to `serve`: uvicorn would raise them again, and the command would end with an error."""
        yield


def serve(parameters: ServeParameters, prepared: Prepared) -> None:
    """Serves until SIGTERM or SIGINT, then answers what is running and returns.

    Args:
        parameters: the parameters.
        prepared: what `prepare` has returned for them.

    Raises:
        ValueError: the folder holds no index.
    """
    write_json_logs()
    configure_tensorflow()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(parameters, prepared, _stop_on_signals))


async def run(
    parameters: ServeParameters,
    prepared: Prepared,
    on_start: Callable[[uvicorn.Server], None],
) -> None:
    """Serves until the attribute `should_exit` of the server is set, then answers what is running.

    Args:
        parameters: the parameters.
        prepared: what `prepare` has returned for them.
        on_start: called with the server once connections are not refused any more.

    Raises:
        ValueError: the folder holds no index.
    """
    metrics = Metrics()
    # One thread computes, so that queries gather meanwhile; TensorFlow itself uses all processors. Another one loads.
    with ThreadPoolExecutor(1, "compute") as computing, ThreadPoolExecutor(1, "load") as loading:

        def make_batcher(index: LoadedIndex, on_end: Callable[[], None]) -> Batcher:
            if parameters.items:
                loading.submit(log_matches, index.catalogue, prepared.titles, prepared.num_repeated_titles)
            return Batcher(
                index,
                computing,
                metrics,
                max_batch_size=parameters.max_batch_size,
                delay_seconds=parameters.batch_delay_ms / 1_000,
                queue_seconds=parameters.queue_seconds,
                on_end=on_end,
            )

        versions = Versions(parameters.serving, make_batcher, loading, metrics)
        app = App(parameters, versions, metrics, prepared.titles, lambda: server.should_exit)
        protocol = type("Protocol", (BoundedProtocol,), {"client_seconds": parameters.client_seconds})
        config = uvicorn.Config(
            app.asgi,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=parameters.max_connections,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(parameters.shutdown_seconds),
            backlog=BACKLOG,
        )
        server = _Server(config)
        prepared.listener.listen(BACKLOG)
        on_start(server)
        following = asyncio.create_task(versions.follow(parameters.poll_seconds))
        following.add_done_callback(functools.partial(_end_on_failure, server))
        host, port = prepared.listener.getsockname()[:2]
        logger.info("Listening on http://%s:%d.", f"[{host}]" if ":" in host else host, port)
        await server.serve(sockets=[prepared.listener])
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    logger.info("All requests are answered.")


def _end_on_failure(server: uvicorn.Server, task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        server.should_exit = True


def _stop_on_signals(server: uvicorn.Server) -> None:
    def stop(number: int) -> None:
        logger.info("%s: no new connections, running requests are answered.", signal.Signals(number).name)
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
