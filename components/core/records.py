"""The records of a run's tasks: RECORDS/<run id>/<task>.json, each written by the task itself when it ends.

KFP gives an exit task neither the results nor the errors of the other tasks; this is where it finds them. A task that
was killed, that has not ended yet, or whose result came from a cache has no record.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from components.core import schema_versions

SUCCEEDED = "succeeded"
FAILED = "failed"

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Record:
    """What a task says about itself.

    Attributes:
        task: name of the task.
        started: time when the task started, ISO 8601, UTC.
        ended: time when it ended.
        status: SUCCEEDED or FAILED.
        result: numbers and texts by name, of any depth; what they are depends on the component.
        findings: number of each finding in a log; empty for components that read no log.
        error: `type` and `message` of the exception that ended the task; empty if it succeeded.
        schema_version: version of the JSON document.
    """

    task: str
    started: str
    ended: str = ""
    status: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)
    error: dict[str, str] = field(default_factory=dict)
    schema_version: int = schema_versions.RECORD


@contextmanager
def recorded(arguments: Mapping[str, Any]) -> Iterator[Record]:
    """Writes the record of a task when the block ends, also if it raises. A record of an earlier attempt is removed.

    A record that cannot be written is a warning: the work of the task counts.

    Args:
        arguments: arguments of the component. `records_uri` is a local folder, `s3://BUCKET/PREFIX` or
            `gs://BUCKET/PREFIX`, or empty to write no record; `run_id` and `task_name` name the record.

    Yields:
        The record, whose `result` and `findings` the block fills.

    Raises:
        ValueError: the address has another scheme or no bucket.
    """
    record = Record(task=arguments["task_name"], started=_now())
    if not arguments["records_uri"] or not record.task:
        yield record
        return
    records = _Records(arguments["records_uri"], arguments["run_id"])
    with _warned(record.task, records):
        records.remove(record.task)
    try:
        yield record
    except BaseException as error:
        record.status, record.error = FAILED, {"type": type(error).__name__, "message": str(error)}
        raise
    else:
        record.status = SUCCEEDED
    finally:
        record.ended = _now()
        with _warned(record.task, records):
            records.write(record)


def read_records(uri: str, run_id: str, *, on_unreadable: Callable[[str], None] = logger.warning) -> dict[str, Record]:
    """Reads the records of a run. A record that cannot be read is left out.

    Args:
        uri: as `records_uri` of the tasks.
        run_id: id of the run.
        on_unreadable: called for each record that cannot be read, with a sentence that says why.

    Returns:
        The records by the name of the task, in the order in which the tasks started.

    Raises:
        OSError: the location cannot be listed.
        ValueError: the address has another scheme.
    """
    records = _Records(uri, run_id)
    found = []
    for name in records.list_names():
        try:
            found.append(_parse(records.read(name)))
        except Exception as error:  # a store has its own kinds
            reason = " ".join(str(error).split())[:400]
            on_unreadable(f"{records.name}/{name} is not the record of a task. {type(error).__name__}: {reason}")
    return {record.task: record for record in sorted(found, key=lambda each: (each.started, each.ended, each.task))}


def _parse(content: bytes) -> Record:
    document = json.loads(content, parse_constant=lambda _: None)
    if document["schema_version"] != schema_versions.RECORD:
        raise ValueError(f"Expected schema version {schema_versions.RECORD}. Received: {document['schema_version']}")
    record = Record(**document)
    for name, hint in get_type_hints(Record).items():
        kind, value = get_origin(hint) or hint, getattr(record, name)
        if not isinstance(value, kind):
            raise ValueError(f"Expected {name} to be of type {kind.__name__}. Received: {value!r}")
    return record


class _Records:
    """The records of a run, in a local folder or a bucket."""

    def __init__(self, uri: str, run_id: str) -> None:
        scheme, separator, rest = uri.partition("://")
        is_local = not separator or scheme == "file"
        if not is_local and (scheme not in ("s3", "gs") or not rest.partition("/")[0]):
            raise ValueError(
                f"Expected records_uri to be a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX. Received: {uri!r}"
            )
        self.name = f"{uri.rstrip('/')}/{run_id}"
        self.folder = Path(rest if separator else uri, run_id) if is_local else None

    def write(self, record: Record) -> None:
        # Numbers that are not finite have no form in JSON, so they become null.
        document = json.loads(json.dumps(vars(record), default=str), parse_constant=lambda _: None)
        content = json.dumps(document, indent=2).encode()
        if self.folder is None:
            self._store.put(f"{record.task}.json", content)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{record.task}.{os.getpid()}"
        draft.write_bytes(content)
        draft.replace(self.folder / f"{record.task}.json")

    def remove(self, task: str) -> None:
        if self.folder is not None:
            (self.folder / f"{task}.json").unlink(missing_ok=True)
        elif f"{task}.json" in self.list_names():
            self._store.delete(f"{task}.json")

    def list_names(self) -> list[str]:
        if self.folder is not None:
            return [path.name for path in self.folder.glob("*.json")]
        return [each["path"] for batch in self._store.list() for each in batch if each["path"].endswith(".json")]

    def read(self, name: str) -> bytes:
        if self.folder is not None:
            return (self.folder / name).read_bytes()
        return bytes(self._store.get(name).bytes())

    @property
    def _store(self) -> Any:
        # Its library is not needed for local folders.
        from components.core.object_store import open_store

        return open_store(self.name)


@contextmanager
def _warned(task: str, records: _Records) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:400]
        logger.warning("The record of the task %s could not be written to %s: %s", task, records.name, reason)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
