"""Work that threads do ahead of who uses it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Input = TypeVar("Input")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Input], Result], inputs: Iterable[Input], *, num_threads: int, num_ahead: int
) -> Iterator[Result]:
    """`map` in threads, in order, with at most `num_ahead` results more in memory than the one that is used."""
    with ThreadPoolExecutor(num_threads) as executor:
        pending: deque[Future[Result]] = deque()
        for each in inputs:
            pending.append(executor.submit(function, each))
            if len(pending) > num_ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
