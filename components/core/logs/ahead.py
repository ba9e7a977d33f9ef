"""Prefetches results in background threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Input = TypeVar("Input")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Input], Result], inputs: Iterable[Input], *, num_threads: int, num_ahead: int
) -> Iterator[Result]:
    """Maps inputs in threads and yields the results in order.

    Args:
        function: called once for each input, in any of the threads.
        inputs: the inputs; they are taken in the caller's thread.
        num_threads: number of threads.
        num_ahead: maximum number of results that are prefetched.
    """
    with ThreadPoolExecutor(num_threads) as executor:
        pending: deque[Future[Result]] = deque()
        for each in inputs:
            pending.append(executor.submit(function, each))
            if len(pending) > num_ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
