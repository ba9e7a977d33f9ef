"""The parameters of the server and their bounds."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

MAX_SECONDS = 86_400.0  # a day; longer pauses are mistakes, and timers do not take infinite ones


def _describe(default: Any, text: str, *, least: float | None = None, most: float = math.inf) -> Any:
    return field(default=default, metadata={"text": text, "least": least, "most": most})


@dataclass(frozen=True, kw_only=True)
class ServeParameters:
    """Parameters of the server. The metadata of each field holds its description and its bounds.

    Raises:
        ValueError: a value is out of bounds, or has no effect without another one.
    """

    serving: str = field(
        metadata={
            "text": "What to serve: a serving location (a folder, s3:// or gs://), the output folder of a run, or "
            "an exported index.",
        }
    )
    host: str = _describe("127.0.0.1", "Address to listen on; 0.0.0.0 for all.")
    port: int = _describe(8501, "Port to listen on; 0 for a free one.", least=0, most=65_535)
    model_name: str = _describe("two_tower", "Name of the model in the paths.")
    items: str = _describe(
        "",
        "Titles of the items: Parquet, or text with a header; a file, a folder or a glob, local, s3:// or gs://.",
    )
    item_column: str = _describe("", "Column of --items with the item ids; by default item, item_id, product_id, ...")
    title_column: str = _describe("", "Column of --items with the titles; by default title, name, ...")
    poll_seconds: float = _describe(10.0, "Pause between two looks for a new version.", least=0.05, most=MAX_SECONDS)
    max_batch_size: int = _describe(64, "Sessions that are computed together, at most; 1 for no batching.", least=1)
    batch_delay_ms: float = _describe(2.0, "How long a query waits for others, at most.", least=0, most=1_000)
    max_concurrency: int = _describe(1_024, "Requests at once; more are answered with 429.", least=1)
    max_connections: int = _describe(2_048, "Connections at once; more are answered with 503.", least=1)
    max_body_bytes: int = _describe(1 << 20, "Size of a request's body.", least=1)
    max_pending_bytes: int = _describe(64 << 20, "Size of the bodies of all requests at once.", least=1)
    max_rows: int = _describe(128, "Sessions in a request.", least=1)
    max_session_length: int = _describe(1_000, "Items in a session, and ids to exclude.", least=1)
    max_k: int = _describe(1_000, "Items to recommend for a session.", least=1, most=2**31 - 1)
    client_seconds: float = _describe(
        10.0, "How long a client may take to send a request.", least=0.1, most=MAX_SECONDS
    )
    queue_seconds: float = _describe(
        10.0, "How long a query may wait before it is answered with 503.", least=0.01, most=MAX_SECONDS
    )
    shutdown_seconds: float = _describe(
        20.0, "How long running requests may take after SIGTERM.", least=0, most=MAX_SECONDS
    )
    log_requests: bool = _describe(False, "Log each request; without it, only errors of the server.")

    def __post_init__(self) -> None:
        for each in fields(self):
            value, least = getattr(self, each.name), each.metadata.get("least")
            if least is not None and not least <= value <= each.metadata["most"]:
                most = each.metadata["most"]
                bounds = f"at least {least}" if most == math.inf else f"from {least} to {most:.15g}"
                raise ValueError(f"Expected {each.name} to be {bounds}. Received: {value}")
        if not self.serving:
            raise ValueError("Expected a serving location, a run's output folder or an index. Received: nothing")
        for name in ("item_column", "title_column"):
            if getattr(self, name) and not self.items:
                raise ValueError(
                    f"Expected items (--items), the table that {name} is a column of. Received: {name} alone, "
                    f"{getattr(self, name)!r}"
                )
        if not self.model_name or set(self.model_name) & set("/:?#% "):
            raise ValueError(f"Expected model_name to be a part of a path. Received: {self.model_name!r}")
        if self.max_pending_bytes < self.max_body_bytes:
            raise ValueError(
                f"Expected max_pending_bytes to be at least max_body_bytes, {self.max_body_bytes}. "
                f"Received: {self.max_pending_bytes}"
            )
