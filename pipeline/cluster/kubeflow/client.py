"""Connecting to Kubeflow Pipelines, with an answer within seconds if that cannot work."""

import contextlib
import io
import os
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
from pipeline.cluster.submission import ClusterError

# How long the first calls may take, which show that the API is there.
PROBE_SECONDS = 8.0
# Where a cluster mounts the token of a pod's service account for the pipelines' API.
SERVICE_ACCOUNT_TOKEN_PATH = "/var/run/secrets/kubeflow/pipelines/token"  # noqa: S105
_PAGE_SIZE = 100


class Client(kfp.Client):
    """KFP's client, whose calls have one deadline and whose answers are checked from `get_kfp_healthz` on.

    Attributes:
        deadline: for all calls.
    """

    def __init__(self, deadline: Deadline, **arguments: Any) -> None:
        self.deadline = deadline
        super().__init__(**arguments)

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
        """Asks once for the state of the API server; KFP's own client asks five times, 5 s apart."""
        del sleep_duration
        check_calls(self._healthz_api.api_client, self.deadline)  # here, since KFP's constructor may ask
        return self._healthz_api.healthz_service_get_healthz()


def connect(
    *, host: str = "", namespace: str = "", token: str = "", cookie: str = "", calls_seconds: float = CALLS_SECONDS
) -> Client:
    """Connects as users of KFP know it.

    Without a token or cookie the token of the pod's service account is used, where there is one.

    Args:
        host: URL of the API; by default KF_PIPELINES_ENDPOINT, the service of this cluster, or that of kubectl.
        namespace: the user's namespace where Kubeflow has several users.
        token: bearer token.
        cookie: session cookie, such as `authservice_session=...`.
        calls_seconds: how long all calls of the client may take.

    Raises:
        ClusterError: nothing answers there within 10 s, what answers is not KFP, or it does not let us in.
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
    """Turns what the client raises into a line that says what to do.

    Raises:
        ClusterError: for all of it.
    """
    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status in (401, 403):
            raise ClusterError(
                f"Expected a token or cookie that {where} lets in (--token, --cookie). Received: {error.status} "
                f"{error.reason}"
            ) from error
        wait = (error.headers or {}).get("Retry-After")
        later = f" (Retry-After: {wait})" if wait else ""
        message = f"{error.status} {error.reason}{later} {(error.body or '')[:500]}".strip()
        raise ClusterError(f"Expected {where} to accept this. Received: {message}") from error
    except (urllib3.exceptions.HTTPError, ConnectionError, CallError) as error:
        raise ClusterError(f"Expected a Kubeflow Pipelines API at {where} (--host). Received: {error}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps KFP's links and its warning about versions off the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", FutureWarning)
        yield


def list_all(list_page: Callable[..., Any], field: str, **arguments: Any) -> list[Any]:
    """Lists everything, page by page.

    Args:
        list_page: a listing method of the client.
        field: where its response has the items.
        arguments: the method's further arguments.

    Raises:
        CallError: a page is followed by one that was listed before.
    """
    items: list[Any] = []
    token = ""
    tokens = {token}
    while True:
        response = list_page(page_token=token, page_size=_PAGE_SIZE, **arguments)
        items.extend(getattr(response, field) or [])
        token = response.next_page_token or ""
        if not token:
            return items
        if token in tokens:
            raise CallError(f"the page {token!r} of the {field} twice")
        tokens.add(token)


def make_run_url(host: str, run_id: str) -> str:
    """Makes the address of a run in the browser."""
    base = os.environ.get("KF_PIPELINES_UI_ENDPOINT") or host or os.environ.get("KF_PIPELINES_ENDPOINT") or "/pipeline"
    return f"{base.rstrip('/')}/#/runs/details/{run_id}"
