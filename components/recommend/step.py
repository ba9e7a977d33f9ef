"""Index and session log -> recommendations for every session, as Parquet."""

import hashlib
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.file_locks import lock
from components.core.logs.files import LogFile, find_files
from components.core.machine import limit_arrow_threads
from components.core.progress import Progress
from components.core.serving.location import fetch, list_versions, open_location
from components.recommend.answers import BulkIndex
from components.recommend.grouping import Intake, group_sessions
from components.recommend.parameters import RecommendParameters

logger = logging.getLogger(__name__)

# Maximum size of a file, and of what a stopped run repeats. A session with more events is a file of its own.
PART_SESSIONS = 16_384
PART_EVENTS = 1 << 20
NUM_EXAMPLES = 10  # number of unknown items that the report names
# Readers of a folder of Parquet files pass over names that begin with "_" or ".".
REPORT_NAME = "_report.json"
PLAN_NAME = "_plan.json"
REJECTED_NAME = "_rejected.parquet"
WORK_NAME = ".work"
LOCK_NAME = ".lock"


def recommend_sessions(
    sessions: str, index_dir: Path, output_dir: Path, parameters: RecommendParameters
) -> dict[str, Any]:
    """Writes the best items of every session of a log.

    The output folder gets `part-00000.parquet` and so on, with session_id, rank (from 1), item_id and score, in
    ascending order of the session ids; `_rejected.parquet` with the rejected lines; and at last `_report.json`. Memory
    does not grow with the log. A run that was stopped goes on after its last complete part when it is started again
    with the same log, index and parameters; otherwise the folder is written anew.

    Args:
        sessions: the log: a file, folder or glob, local or in a bucket. Its rows may be in any order.
        index_dir: the index.
        output_dir: folder to write; it is created.
        parameters: parameters of the step.

    Returns:
        The report: number of sessions, events, rows, and unknown items.

    Raises:
        FileNotFoundError: no file was found, or the folder has no index.
        OSError: the disk is full.
        ValueError: a file cannot be read, too many lines were rejected, the folder is not an index, or the output
            folder holds other files or is written by another run.
    """
    limit_arrow_threads()
    files = find_files(sessions)
    _check(output_dir)
    with _hold(output_dir):
        return _recommend(files, index_dir, output_dir, parameters)


def _recommend(
    files: list[LogFile], index_dir: Path, output_dir: Path, parameters: RecommendParameters
) -> dict[str, Any]:
    index = BulkIndex(index_dir)
    plan = {"log": [_identify(file) for file in files], "index": _hash(index_dir), "parameters": asdict(parameters)}
    _prepare(output_dir, plan)
    work_dir = output_dir / WORK_NAME
    complete = _read_report(output_dir)
    if complete is not None:
        logger.info("%s is complete already.", output_dir)
        shutil.rmtree(work_dir, ignore_errors=True)
        return complete
    grouped, intake_path = work_dir / "sessions.parquet", work_dir / "intake.json"
    if not (intake_path.exists() and grouped.exists()):
        shutil.rmtree(work_dir, ignore_errors=True)
        work_dir.mkdir()
        intake = group_sessions(
            files,
            work_dir,
            grouped,
            output_dir / REJECTED_NAME,
            parameters,
            part_sessions=PART_SESSIONS,
            part_events=PART_EVENTS,
        )
        _write(intake_path, asdict(intake))
    intake = Intake(**json.loads(intake_path.read_text()))
    report = {**asdict(intake), **_answer_parts(grouped, index, output_dir, parameters)}
    _write(output_dir / REPORT_NAME, report)
    shutil.rmtree(work_dir)
    return report


def describe(report: Mapping[str, Any]) -> str:
    """Returns the numbers of sessions, events and recommendations in one line."""
    counts = f"{report['num_sessions']:,} sessions with {report['num_events']:,} events"
    return f"{report['num_rows']:,} items recommended for {counts}, {report['num_rejected']:,} lines rejected"


def fetch_index(serving_uri: str, destination: Path, *, version: int = 0) -> int:
    """Copies the index of a published version.

    Args:
        serving_uri: the serving location.
        destination: folder to write to.
        version: the version; 0 for the newest.

    Returns:
        The version.

    Raises:
        ServingError: the location cannot be listed, or the version is damaged.
        ValueError: there is no such version.
    """
    manifests = {manifest.version: manifest for manifest in list_versions(serving_uri)}
    version = version or max(manifests, default=0)
    if version not in manifests:
        known = ", ".join(map(str, manifests)) or "none"
        raise ValueError(f"Expected a published version in {serving_uri}, one of: {known}. Received: {version}")
    fetch(open_location(serving_uri), manifests[version], "index", destination)
    return version


def _answer_parts(grouped: Path, index: BulkIndex, output_dir: Path, parameters: RecommendParameters) -> dict[str, Any]:
    file = pq.ParquetFile(grouped)
    parts = [
        (output_dir / f"part-{number:05}.parquet", output_dir / WORK_NAME / f"{number:05}.json")
        for number in range(file.num_row_groups)
    ]
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    # The description is written after the part.
    is_done = [path.exists() and described.exists() for path, described in parts]
    num_done = sum(size for size, done in zip(sizes, is_done, strict=True) if done)
    progress = Progress(sum(sizes), done=num_done)
    total: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for number, (path, described) in enumerate(parts):
        if is_done[number]:
            part = json.loads(described.read_text())
        else:
            [sessions] = file.read_row_group(number).combine_chunks().to_batches()
            answer = index.answer(sessions, k=parameters.recommend_k, exclude_seen=parameters.exclude_seen)
            part = _describe(sessions, answer.table, answer.unknown, answer.num_without)
            draft = path.with_name(f".{path.name}.draft")
            pq.write_table(answer.table, draft, compression="zstd")
            draft.replace(path)
            _write(described, part)
            num_done += sizes[number]
            progress.advance(sizes[number], f"{num_done:,} of {sum(sizes):,} sessions")
        unknown.update(part.pop("unknown"))
        total.update(part)
    examples = dict(sorted(unknown.items(), key=lambda item: (-item[1], item[0]))[:NUM_EXAMPLES])
    return {**total, "num_distinct_unknown": len(unknown), "most_frequent_unknown": examples}


def _describe(sessions: pa.RecordBatch, table: pa.Table, unknown: pa.Array, num_without: int) -> dict[str, Any]:
    counts = pc.value_counts(unknown).to_pylist()
    return {
        "num_sessions": len(sessions),
        "num_events": len(sessions["item_ids"].flatten()),
        "num_rows": table.num_rows,
        "num_unknown_events": len(unknown),
        "num_sessions_without_known_item": num_without,
        "unknown": {each["values"]: each["counts"] for each in counts},
    }


def _check(output_dir: Path) -> None:
    """Checks that the folder holds no files of others."""
    if not output_dir.exists() or (output_dir / PLAN_NAME).is_file():
        return
    if any(path.name != LOCK_NAME for path in output_dir.iterdir()):
        raise ValueError(
            f"Expected an output folder that is new, empty, or written by this command. Received: {output_dir}"
        )


@contextmanager
def _hold(output_dir: Path) -> Iterator[None]:
    """Creates the folder, and locks it against other runs."""
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / LOCK_NAME
    held = lock(path, exclusive=True, wait=False, create=True)
    if held is None:
        raise ValueError(
            f"Expected an output folder that no other run writes to. Received: {output_dir}, which is in use by "
            f"process {path.read_text().strip()}. Wait until it ends or choose another folder."
        )
    try:
        if not held.is_real:
            logger.warning("The file system of %s does not support locks. Do not start two runs in it.", output_dir)
        path.write_text(f"{os.getpid()}\n")
        yield
    finally:
        held.release()


def _prepare(output_dir: Path, plan: dict[str, Any]) -> None:
    """Empties the folder unless it holds a part of the same run."""
    plan_path = output_dir / PLAN_NAME
    if plan_path.is_file():
        if json.loads(plan_path.read_text()) == json.loads(json.dumps(plan)):
            return
        # First: with this plan, which no run has, a removal that is interrupted is repeated by the next run.
        _write(plan_path, {})
        for path in [*output_dir.glob("part-*"), *output_dir.glob(".part-*"), output_dir / REJECTED_NAME]:
            path.unlink(missing_ok=True)
        (output_dir / REPORT_NAME).unlink(missing_ok=True)
        if (output_dir / WORK_NAME).exists():
            shutil.rmtree(output_dir / WORK_NAME)
    _write(plan_path, plan)


def _read_report(output_dir: Path) -> dict[str, Any] | None:
    """Returns the report of a complete folder; None if there is none, it is damaged, or recommendations are missing."""
    path = output_dir / REPORT_NAME
    if not path.exists():
        return None
    with suppress(ValueError, TypeError, KeyError):  # the report or a part is damaged
        report: dict[str, Any] = json.loads(path.read_text())
        if report["num_rows"] == sum(pq.read_metadata(part).num_rows for part in output_dir.glob("part-*.parquet")):
            return report
    path.unlink()
    return None


def _identify(file: LogFile) -> list[Any]:
    info = file.filesystem.get_file_info(file.path)
    return [file.name, file.num_bytes, info.mtime_ns]


def _hash(index_dir: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(each for each in index_dir.rglob("*") if each.is_file()):
        with path.open("rb") as file:
            digest.update(f"{path.relative_to(index_dir)}\0".encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _write(path: Path, document: dict[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(document, indent=2))
    draft.replace(path)
