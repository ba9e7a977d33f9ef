"""Connects to Kubeflow Pipelines, and reports a wrong host or credential within seconds."""

import contextlib
import io
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import urllib3
from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

from pipeline.cluster.deadline import CALLS_SECONDS, CallError, Deadline
from pipeline.cluster.kubeflow.api import check_calls
from pipeline.cluster.submission import ClusterError, UnreachableError

# Time limit of the first calls, which test the connection.
PROBE_SECONDS = 8.0
# Where a cluster mounts the token of a pod's service account for the Kubeflow Pipelines API.
SERVICE_ACCOUNT_TOKEN_PATH = "/var/run/secrets/kubeflow/pipelines/token"  # noqa: S105
_PAGE_SIZE = 100
# Answers of a server, or of a gateway before it, that cannot answer now.
_AWAY_STATUSES = (429, 500, 502, 503, 504)


class Client(kfp.Client):
    """KFP's client. From `get_kfp_healthz` on, its calls share a deadline and its answers are checked.

    Attributes:
        deadline: the deadline of all calls.
    """

    def __init__(self, deadline: Deadline, **arguments: Any) -> None:
        self.deadline = deadline
        super().__init__(**arguments)

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
        """Checks the API server once; KFP's own client tries five times, 5 s apart."""
        del sleep_duration
        check_calls(self._healthz_api.api_client, self.deadline)  # here, because KFP's constructor may call this method
        return self._healthz_api.healthz_service_get_healthz()


def connect(
    *, host: str = "", namespace: str = "", token: str = "", cookie: str = "", calls_seconds: float = CALLS_SECONDS
) -> Client:
    """Connects to Kubeflow Pipelines, with the same rules for credentials as KFP's own client.

    Without a token or cookie, the token of the pod's service account is used if there is one.

    Args:
        host: URL of the API; by default KF_PIPELINES_ENDPOINT, the service of this cluster, or kubectl's cluster.
        namespace: the user's namespace, if Kubeflow runs in multi-user mode.
        token: bearer token.
        cookie: session cookie, such as `authservice_session=...`.
        calls_seconds: time limit for all calls of the client together.

    Raises:
        ClusterError: no Kubeflow Pipelines API answers within 10 s, or it rejects the credentials.
    """
    arguments: dict[str, Any] = {"host": host or None, "existing_token": token or None, "cookies": cookie or None}
    if namespace:
        arguments["namespace"] = namespace
    if not token and not cookie and Path(SERVICE_ACCOUNT_TOKEN_PATH).exists():
        arguments["credentials"] = ServiceAccountTokenVolumeCredentials(SERVICE_ACCOUNT_TOKEN_PATH)
    where = host or os.environ.get("KF_PIPELINES_ENDPOINT") or "the cluster of this pod or of kubectl"
    with explain_errors(where), quiet():
        client = Client(Deadline(min(PROBE_SECONDS, calls_seconds)), **arguments)
        client.get_kfp_healthz()
        client.list_experiments(page_size=1)
    client.deadline.restart(calls_seconds)
    return client


@contextlib.contextmanager
def explain_errors(where: str) -> Iterator[None]:
    """Converts the client's exceptions to a ClusterError that says what to do.

    Raises:
        UnreachableError: nothing answers, what answers is not the API, or the API says that it cannot answer now.
        ClusterError: for every other exception of the client.
    """
    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status in (401, 403):
            raise ClusterError(
                f"Expected a token or cookie that {where} accepts (--token, --cookie). Received: {error.status} "
                f"{error.reason}"
            ) from error
        wait = (error.headers or {}).get("Retry-After")
        later = f" (Retry-After: {wait})" if wait else ""
        message = f"{error.status} {error.reason}{later} {(error.body or '')[:500]}".strip()
        kind = UnreachableError if error.status in _AWAY_STATUSES else ClusterError
        raise kind(f"Expected {where} to accept the request. Received: {message}") from error
    except (urllib3.exceptions.HTTPError, ConnectionError, CallError) as error:
        raise UnreachableError(
            f"Expected a Kubeflow Pipelines API at {where} (--host). Received: {_find_reason(error)}"
        ) from error


def _find_reason(error: Exception) -> str:
    """Returns why a connection failed, without the pool, the host and the path that urllib3 puts around it."""
    reason = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason else error
    return re.sub(r"^\w+\(host=[^)]*\): ", "", str(reason))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses the links and version warnings that KFP prints."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", FutureWarning)
        yield


def list_all(list_page: Callable[..., Any], field: str, limit: int | None = None, **arguments: Any) -> list[Any]:
    """Lists the items of all pages.

    Args:
        list_page: a method of the client that lists one page.
        field: the attribute of its response that contains the items.
        limit: number of items after which no further page is listed; by default, all pages are.
        arguments: further arguments of the method.

    Raises:
        CallError: the server returns the token of an earlier page.
    """
    items: list[Any] = []
    token = ""
    tokens = {token}
    while True:
        response = list_page(page_token=token, page_size=_PAGE_SIZE, **arguments)
        items.extend(getattr(response, field) or [])
        token = response.next_page_token or ""
        if not token or (limit is not None and len(items) >= limit):
            return items
        if token in tokens:
            raise CallError(f"the same page {token!r} of the {field} twice")
        tokens.add(token)


def make_run_url(host: str, run_id: str) -> str:
    """Returns the URL of a run in the web interface."""
    base = os.environ.get("KF_PIPELINES_UI_ENDPOINT") or host or os.environ.get("KF_PIPELINES_ENDPOINT") or "/pipeline"
    return f"{base.rstrip('/')}/#/runs/details/{run_id}"
