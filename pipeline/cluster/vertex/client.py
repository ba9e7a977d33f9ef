"""Reaching Vertex AI. Needs the extra `vertex`, which is loaded only when it is used."""

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from pipeline.cluster.deadline import CallError
from pipeline.cluster.submission import ClusterError


@contextlib.contextmanager
def explain_errors() -> Iterator[None]:
    """Turns what Google's clients raise into a line that says what to do.

    Raises:
        ClusterError: for all of it, and if the extra is not there.
    """
    # Loading the package takes seconds: enough to know that it is there, a wrong command ends sooner.
    if not all(importlib.util.find_spec(name) for name in ("google", "google.cloud", "google.cloud.aiplatform")):
        raise ClusterError("Expected google-cloud-aiplatform: pip install 'two-tower[vertex]'. Received: none")
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except GoogleAuthError as error:
        raise ClusterError(
            f"Expected credentials of Google Cloud (gcloud auth application-default login). Received: {error}"
        ) from error
    except (GoogleAPIError, CallError) as error:
        raise ClusterError(f"Expected Vertex AI to accept this. Received: {error}") from error


def check_place(project: str, location: str) -> None:
    """Says which part of the address is missing.

    Raises:
        ValueError: the project or the location is empty.
    """
    if not project or not location:
        raise ValueError(f"Expected --project and --location. Received: {project!r} and {location!r}")


def find_credentials() -> Any:
    """Finds the application default credentials.

    It takes seconds to know that there are none, and Google's clients would look for them again and again.
    """
    import google.auth

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    return credentials
