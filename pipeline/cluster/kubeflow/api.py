"""KFP's API client, with one deadline for all calls and a check of every answer."""

import json
import time
from typing import Any

import kfp_server_api
import urllib3

from pipeline.cluster.deadline import CallError, Deadline

# The id of each of these objects; an answer without it is invalid.
_IDS = {
    "V2beta1Experiment": "experiment_id",
    "V2beta1Pipeline": "pipeline_id",
    "V2beta1PipelineVersion": "pipeline_version_id",
    "V2beta1RecurringRun": "recurring_run_id",
    "V2beta1Run": "run_id",
}
_SCALARS = {"str": (str, int, float), "int": (int, str), "float": (int, float), "bool": (bool,), "datetime": (str,)}


class CheckedApiClient(kfp_server_api.ApiClient):
    """The API client of the generated API classes; see `check_calls`.

    Every call raises CallError if the answer is late or does not match the API.
    """

    deadline: Deadline

    def call_api(self, *arguments: Any, **options: Any) -> Any:
        """Sends a call and parses the answer."""
        try:
            return super().call_api(*arguments, **options)
        except (ValueError, LookupError, RecursionError) as error:
            raise CallError(f"an answer that cannot be parsed: {error}") from error

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Sends a request. Observes Retry-After for GET requests if the deadline allows it."""
        send = super().request

        def send_in_time() -> Any:
            limit = self.deadline.client_timeout
            return send(method, url, **{**options, "_request_timeout": (limit, limit)})

        while True:
            try:
                return self.deadline.call(send_in_time)
            except kfp_server_api.ApiException as error:
                # The caller decodes the body, and fails if it is missing or not UTF-8.
                error.body = (error.body or b"").decode(errors="replace").encode()
                wait = (error.headers or {}).get("Retry-After", "")
                if method != "GET" or error.status not in (429, 503) or not wait.isdigit():
                    raise
                if int(wait) >= self.deadline.remaining:
                    raise
                time.sleep(max(1, int(wait)))

    def deserialize(self, response: Any, response_type: str) -> Any:
        """Checks an answer and converts it to an object."""
        try:
            data = json.loads(response.data)
        except ValueError as error:
            kind = response.getheader("content-type") or "no content type"
            raise CallError(f"{kind} instead of JSON, possibly a login page: {response.data[:80]!r}") from error
        check_answer(data, response_type)
        return super().deserialize(response, response_type)


def check_calls(api_client: Any, deadline: Deadline) -> None:
    """Converts an API client to a CheckedApiClient, in place.

    In place, because `kfp.Client` creates the API client itself and passes it to its API classes.

    Args:
        api_client: the API client of a `kfp.Client`.
        deadline: the deadline of all calls.
    """
    # Three retries of idempotent calls that are not answered. `request` above observes Retry-After.
    api_client.configuration.retries = urllib3.Retry(3, respect_retry_after_header=False)
    api_client.rest_client = kfp_server_api.rest.RESTClientObject(api_client.configuration)
    api_client.deadline = deadline
    api_client.__class__ = CheckedApiClient


def check_answer(data: Any, kind: str) -> None:
    """Checks an answer against the API's description. Fields may be missing, because the server omits empty ones.

    Args:
        data: the decoded JSON of the answer.
        kind: its type in the API's description, such as V2beta1Run.

    Raises:
        CallError: the answer does not match.
    """
    if not isinstance(data, dict):
        raise CallError(f"an answer that is not a JSON object: {str(data)[:80]!r}")
    model = getattr(kfp_server_api.models, kind, None)
    if model is not None and data and not data.keys() & set(model.attribute_map.values()):
        raise CallError(f"an answer without any field of {kind}: {str(data)[:80]!r}")
    _check(data, kind, kind)


def _check(data: Any, kind: str, place: str) -> None:
    if kind.startswith("list["):
        is_right = isinstance(data, list)
        for item in data if is_right else ():
            _check(item, kind[len("list[") : -1], place)
    elif kind.startswith("dict("):
        is_right = isinstance(data, dict)
        for value in data.values() if is_right else ():
            _check(value, kind.partition(", ")[2][:-1], place)
    elif kind in _SCALARS:
        is_right = isinstance(data, _SCALARS[kind])
    elif kind == "object":
        is_right = True
    else:
        model = getattr(kfp_server_api.models, kind)
        # A type without fields is an enumeration.
        is_right = isinstance(data, dict if model.openapi_types else str)
        if is_right and kind in _IDS and not data.get(_IDS[kind]):
            raise CallError(f"an answer without {_IDS[kind]} in {place}: {str(data)[:80]!r}")
        for attribute, field in model.attribute_map.items() if is_right else ():
            if data.get(field) is not None:
                _check(data[field], model.openapi_types[attribute], f"{place}.{field}")
    if not is_right:
        raise CallError(f"an answer with {str(data)[:80]!r} instead of {kind} in {place}")
