"""Concurrent queries are computed together: one pass over the catalogue then serves many sessions."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from components.serve.loaded_index import LoadedIndex, Ranked
from components.serve.metrics import Metrics
from components.serve.queries import Query, RequestError

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Waiting:
    query: Query
    ks: list[int]
    since: float
    answer: "asyncio.Future[Ranked]"


class Batcher:
    """Answers queries with one index, in batches, until it is closed and has answered all of them.

    A batch is computed as soon as it is full or its oldest query has waited for `delay_seconds`. While one is computed
    the next one gathers, so under load the wait is that for the processor alone. Used in one event loop.

    Args:
        index: the index.
        executor: computes one batch at a time.
        metrics: where to record the batches.
        max_batch_size: number of sessions in a batch, at most; a query with more is a batch of its own.
        delay_seconds: how long the oldest query waits for others, at most.
        queue_seconds: how long a query waits before it is refused.
        on_end: called once after the last answer.
    """

    def __init__(
        self,
        index: LoadedIndex,
        executor: Executor,
        metrics: Metrics,
        *,
        max_batch_size: int,
        delay_seconds: float,
        queue_seconds: float,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.index = index
        self._executor = executor
        self._metrics = metrics
        self._max_batch_size = max_batch_size
        self._delay_seconds = delay_seconds
        self._queue_seconds = queue_seconds
        self._queue: deque[_Waiting] = deque()
        self._num_sessions = 0
        self._num_running = 0
        self._is_closed = False
        self._changed = asyncio.Event()
        self._on_end = on_end
        self._task = asyncio.create_task(self._work())

    async def rank(self, query: Query) -> Ranked:
        """Answers a query to a signature that ranks, in a batch.

        Raises:
            RequestError: the query has waited too long.
        """
        with self.running():
            num_sessions = len(query.item_ids)
            waiting = _Waiting(
                query=query,
                ks=query.ks or [self.index.serving_k] * num_sessions,
                since=time.monotonic(),
                answer=asyncio.get_running_loop().create_future(),
            )
            self._queue.append(waiting)
            self._num_sessions += num_sessions
            self._changed.set()
            return await waiting.answer

    async def call(self, query: Query) -> dict[str, Any]:
        """Answers a query to another signature, alone; returns its outputs as arrays."""
        return await self.compute(self.index.call, query.signature, query.item_ids, query.other_ids)

    async def compute(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Calls a function where the batches are computed, between two of them."""
        with self.running():
            return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keeps the index inside the `with` block, also after `close`."""
        self._num_running += 1
        try:
            yield
        finally:
            self._num_running -= 1
            self._end_if_done()

    def close(self) -> None:
        """Ends after the last answer. Further queries may come only from inside a block of `running`."""
        self._is_closed = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._is_closed and self._num_running == 0 and not self._task.done():
            self._task.cancel()
            self._on_end()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._queue:
                self._changed.clear()
                await self._changed.wait()
            end = self._queue[0].since + self._delay_seconds
            while self._num_sessions < self._max_batch_size and (left := end - time.monotonic()) > 0:
                self._changed.clear()
                try:
                    async with asyncio.timeout(left):
                        await self._changed.wait()
                except TimeoutError:
                    break
            batch = self._take()
            if not batch:
                continue
            try:
                answers = await loop.run_in_executor(self._executor, self._compute, batch)
            except Exception as error:
                for each in batch:
                    if not each.answer.done():
                        each.answer.set_exception(error)
                continue
            for each, answer in zip(batch, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(answer)

    def _take(self) -> list[_Waiting]:
        """Takes a batch of those that still wait, and refuses those that have waited too long."""
        batch: list[_Waiting] = []
        size, now = 0, time.monotonic()
        while self._queue:
            first = self._queue[0]
            num_sessions = len(first.query.item_ids)
            if batch and size + num_sessions > self._max_batch_size:
                break
            self._queue.popleft()
            self._num_sessions -= num_sessions
            if first.answer.done():
                continue
            if now - first.since > self._queue_seconds:
                message = (
                    f"The query has waited for {self._queue_seconds:g} s. The server is overloaded; try again later."
                )
                first.answer.set_exception(RequestError(message, 503))
                continue
            self._metrics.queue_seconds.observe(now - first.since)
            batch.append(first)
            size += num_sessions
        if batch:
            self._metrics.batch_size.observe(size)
        return batch

    def _compute(self, batch: list[_Waiting]) -> list[Ranked]:
        begin = time.monotonic()
        sessions = [row for each in batch for row in each.query.item_ids]
        ks = [k for each in batch for k in each.ks]
        excluded = [row for each in batch for row in each.query.other_ids or [[]] * len(each.ks)]
        ranked = self.index.rank(sessions, ks, excluded)
        answers, row = [], 0
        for each in batch:
            end, width = row + len(each.ks), min(max(each.ks), self.index.num_items)
            answers.append(
                Ranked(
                    [ids[:width] for ids in ranked.item_ids[row:end]],
                    [scores[:width] for scores in ranked.scores[row:end]],
                )
            )
            row = end
        self._metrics.batch_seconds.observe(time.monotonic() - begin)
        return answers
