"""Buckets of S3, of stores with its interface, and of Google Cloud Storage, as the environment variables say."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from obstore.store import GCSStore, S3Store
from pyarrow import fs

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

# By default, a request may not take longer than 30 s, with its content, and is repeated for 3 minutes.
_RETRIES: "RetryConfig" = {"max_retries": 5, "retry_timeout": timedelta(minutes=1)}

Store: TypeAlias = S3Store | GCSStore


def open_store(uri: str) -> Store:
    """Opens a prefix of a bucket. Credentials, region and endpoint come from the provider's environment variables.

    Args:
        uri: `s3://bucket/prefix` or `gs://bucket/prefix`.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, prefix = rest.strip("/").partition("/")
    return _open_s3(bucket, prefix) if scheme == "s3" else _open_gcs(bucket, prefix)


def _open_s3(bucket: str, prefix: str) -> S3Store:
    """Opens a bucket as the log reader does: an endpoint may be http://, the region is looked up if none is given."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    is_region_known = endpoint or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return S3Store(
        bucket,
        prefix=prefix or None,
        config={} if is_region_known else {"region": fs.resolve_s3_region(bucket)},
        client_options=_make_client_options(endpoint),
        retry_config=_RETRIES,
    )


def _open_gcs(bucket: str, prefix: str) -> GCSStore:
    emulator = os.environ.get("CLOUD_STORAGE_EMULATOR_ENDPOINT")  # as for pyarrow, which reads the logs
    return GCSStore(
        bucket,
        prefix=prefix or None,
        config={"base_url": emulator} if emulator else {},
        client_options=_make_client_options(emulator),
        retry_config=_RETRIES,
    )


def _make_client_options(endpoint: str | None) -> "ClientConfig":
    return {
        "connect_timeout": "10s",
        "read_timeout": "60s",
        "timeout": "1h",
        "allow_http": bool(endpoint and endpoint.startswith("http://")),
    }
