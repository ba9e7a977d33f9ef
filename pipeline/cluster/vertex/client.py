"""Connects to Vertex AI. Requires the extra `vertex`, which is imported only when it is used."""

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from pipeline.cluster.deadline import CallError
from pipeline.cluster.submission import ClusterError, UnreachableError


@contextlib.contextmanager
def explain_errors() -> Iterator[None]:
    """Converts the exceptions of Google's clients to a ClusterError that says what to do.

    Raises:
        UnreachableError: nothing answers, or Vertex says that it cannot answer now.
        ClusterError: for every other exception of the clients, and if the extra is not installed.
    """
    # Only look for the package: importing it takes seconds, and invalid commands should fail sooner.
    if not all(importlib.util.find_spec(name) for name in ("google", "google.cloud", "google.cloud.aiplatform")):
        raise ClusterError("Expected google-cloud-aiplatform: pip install 'two-tower[vertex]'. Received: none")
    from google.api_core.exceptions import GoogleAPIError, RetryError, ServerError, TooManyRequests
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except GoogleAuthError as error:
        raise ClusterError(
            f"Expected credentials of Google Cloud (gcloud auth application-default login). Received: {error}"
        ) from error
    except (ServerError, TooManyRequests, RetryError, CallError) as error:
        raise UnreachableError(f"Expected Vertex AI to accept the request. Received: {error}") from error
    except GoogleAPIError as error:
        raise ClusterError(f"Expected Vertex AI to accept the request. Received: {error}") from error


def check_place(project: str, location: str) -> None:
    """Checks that a project and a location are given.

    Raises:
        ValueError: the project or the location is empty.
    """
    if not project or not location:
        raise ValueError(f"Expected --project and --location. Received: {project!r} and {location!r}")


def find_credentials() -> Any:
    """Finds the application default credentials.

    Call this once: if there are none, the search takes seconds, and Google's clients repeat it.
    """
    import google.auth

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    return credentials
