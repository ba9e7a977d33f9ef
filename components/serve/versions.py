"""Follows a serving location: which version is served, and why another one is not."""

import asyncio
import gc
import logging
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from components.core.run_artifacts import hold_run
from components.core.serving.location import fetch, open_location
from components.core.serving.manifest import Manifest
from components.serve.batching import Batcher
from components.serve.loaded_index import LoadedIndex
from components.serve.metrics import Metrics
from components.serve.preparation import find_index_dir

RETRY_SECONDS = 60.0  # a damaged version is read again after this time, not at every look

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why a version is not served.

    Attributes:
        key: identifies the content of the version.
        reason: the reason.
        at: when it was tried, as `time.monotonic` counts.
    """

    key: str
    reason: str
    at: float


class Versions:
    """The version that is served. It begins with none, and `follow` keeps it at the newest one that is intact.

    Args:
        serving: a serving location, or a folder that `find_index_dir` knows.
        make_batcher: creates what answers with an index, from the index and what to call after the last answer.
        executor: loads indices, one at a time.
        metrics: where to record what happened.

    Attributes:
        current: answers with the served version; None before the first one is loaded.
        failures: why a version is not served, by its number; only versions that would be newer.
        problem: why the location could not be listed; empty if it could.
        retiring: older versions that still have queries to answer, by number.
    """

    def __init__(
        self,
        serving: str,
        make_batcher: Callable[[LoadedIndex, Callable[[], None]], Batcher],
        executor: Executor,
        metrics: Metrics,
    ) -> None:
        self._serving = serving
        self._index_dir = find_index_dir(serving)
        self._make_batcher = make_batcher
        self._executor = executor
        self._metrics = metrics
        self.current: Batcher | None = None
        self.failures: dict[int, Failure] = {}
        self.problem = ""
        self.retiring: dict[int, Batcher] = {}

    def find(self, version: int | None) -> Batcher | None:
        """Returns what answers for a version, by default the newest; None if it is not in memory."""
        if self.current is None or version in (None, self.current.index.version):
            return self.current
        return self.retiring.get(version)

    async def follow(self, poll_seconds: float) -> None:
        """Looks for a new version again and again. A folder without versions is loaded once.

        Raises:
            ValueError: the folder without versions holds no index.
        """
        while True:
            try:
                await self.look()
            except Exception:
                logger.exception("The look for a new version failed.")
            if self._index_dir is not None:
                if self.current is None:
                    reasons = ", ".join(each.reason for each in self.failures.values())
                    raise ValueError(f"Expected an index in {self._index_dir}. Received: {reasons}")
                return
            await asyncio.sleep(poll_seconds)

    async def look(self) -> None:
        """Lists the location, and serves the newest version that is intact."""
        loop = asyncio.get_running_loop()
        try:
            found, unreadable = await loop.run_in_executor(self._executor, self._list)
        except (OSError, ValueError) as error:
            self._metrics.location_failures.inc()
            if str(error) != self.problem:
                logger.error("The serving location cannot be listed: %s", error)
            self.problem = str(error)
            return
        if not found and not self.problem:
            logger.warning("There is no version in %s yet.", self._serving)
        self.problem = "" if found else f"There is no version in {self._serving}."
        self._metrics.looked_at.set_to_current_time()
        served = self.current.index.version if self.current else 0
        for version, reason in unreadable.items():
            if version > served and (version not in self.failures or self.failures[version].reason != reason):
                self._fail(version, "", reason)
        for version, key, manifest in found:
            if self.current and (self.current.index.version, self.current.index.key) == (version, key):
                break
            failure = self.failures.get(version)
            if failure and failure.key == key and time.monotonic() - failure.at < RETRY_SECONDS:
                continue
            try:
                index = await loop.run_in_executor(self._executor, self._load, version, key, manifest)
            except Exception as error:
                self._fail(version, key, f"{type(error).__name__}: {error}")
                continue
            self._serve(index)
            break
        served = self.current.index.version if self.current else 0
        listed = {version for version, _, _ in found} | unreadable.keys()
        self.failures = {number: each for number, each in self.failures.items() if number > served and number in listed}

    def _list(self) -> tuple[list[tuple[int, str, Manifest | None]], dict[int, str]]:
        """Returns number, key and manifest of the complete versions, newest first, and why others are unreadable."""
        if self._index_dir is not None:
            return [(1, "", None)], {}
        contents = open_location(self._serving).scan()
        found: list[tuple[int, str, Manifest | None]] = [
            (version, str(manifest.document["publication_id"]), manifest)
            for version, manifest in sorted(contents.manifests.items(), reverse=True)
        ]
        return found, contents.unreadable

    def _fail(self, version: int, key: str, reason: str) -> None:
        self._metrics.version_failures.inc()
        self.failures[version] = Failure(key, reason, time.monotonic())
        logger.error("Version %d cannot be served: %s", version, reason)

    def _load(self, version: int, key: str, manifest: Manifest | None) -> LoadedIndex:
        begin = time.monotonic()
        if manifest is None:
            # TensorFlow opens several files, and a run may end meanwhile and change the link to the newest one.
            with hold_run(self._index_dir or Path(self._serving)) as folder:
                index = LoadedIndex(folder, version=version)
        else:
            # TensorFlow reads all of it while it loads; the copy is not needed afterwards.
            with tempfile.TemporaryDirectory(prefix="two-tower-serve-") as scratch:
                fetch(open_location(self._serving), manifest, "index", Path(scratch))
                index = LoadedIndex(Path(scratch), version=version, key=key)
        logger.info("Version %d is loaded and warm after %.1f s.", version, time.monotonic() - begin)
        return index

    def _serve(self, index: LoadedIndex) -> None:
        before = self.current
        version = index.version

        def end() -> None:
            if self.retiring.get(version) is batcher:
                del self.retiring[version]
            self._metrics.versions_in_memory.dec()
            logger.info("Version %d has given its last answer.", version)
            # Cycles hold the index, but nothing else once the callers have returned.
            asyncio.get_running_loop().call_later(1.0, self._executor.submit, gc.collect)

        batcher = self._make_batcher(index, end)
        self.current = batcher
        self._metrics.versions_in_memory.inc()
        self._metrics.version.set(version)
        self._metrics.loaded_at.set_to_current_time()
        logger.info("Version %d is served.", version)
        if before is not None:
            self.retiring[before.index.version] = before
            before.close()
