import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.serve.batching import Batcher
from components.serve.loaded_index import LoadedIndex
from components.serve.metrics import Metrics
from components.serve.parameters import ServeParameters
from components.serve.queries import RequestError, make_query

BOUNDS = ServeParameters(serving="x")


@pytest.fixture(scope="module")
def index(index_dir):
    return LoadedIndex(index_dir, version=1)


class Bench:
    """A batcher whose computing waits until it is let go."""

    def __init__(self, index, executor, **values):
        self.metrics = Metrics()
        self.ended = 0
        self.gate = threading.Event()
        self.is_busy = asyncio.Event()
        options = {"max_batch_size": 8, "delay_seconds": 0.001, "queue_seconds": 60.0, **values}
        self.batcher = Batcher(index, executor, self.metrics, on_end=self.end, **options)
        loop = asyncio.get_running_loop()

        def wait():
            loop.call_soon_threadsafe(self.is_busy.set)
            self.gate.wait(60)

        executor.submit(wait)

    def end(self):
        self.ended += 1

    def sizes(self):
        """Number of batches, and of the sessions in them."""
        samples = {each.name: each.value for each in self.metrics.batch_size.collect()[0].samples if not each.labels}
        return samples["two_tower_batch_size_count"], samples["two_tower_batch_size_sum"]


def run(index, main, **values):
    async def inside():
        with ThreadPoolExecutor(1) as executor:
            bench = Bench(index, executor, **values)
            try:
                await bench.is_busy.wait()
                await asyncio.wait_for(main(bench), 60)
            finally:
                bench.gate.set()

    asyncio.run(inside())


def ask(*sessions, k=None, exclude=()):
    values = {"item_ids": [list(each) for each in sessions]}
    if k is None:
        return make_query("", values, BOUNDS)
    values |= {"k": k, "exclude_ids": [list(exclude)] * len(sessions)}
    return make_query("recommend", values, BOUNDS)


QUERIES = [
    ask(["i1"]),
    ask(["i2", "i3"], k=3, exclude=["i2", "i7"]),
    ask(["new"], ["i4"] * 9, k=[1, 40]),
    ask([], k=2),
    ask(["i5"]),
]


def test_each_query_of_a_batch_gets_its_own_answer(index):
    async def main(bench):
        tasks = [asyncio.create_task(bench.batcher.rank(query)) for query in QUERIES]
        await asyncio.sleep(0.05)
        bench.gate.set()
        together = await asyncio.gather(*tasks)
        assert bench.sizes() == (1, 6)
        for query, found in zip(QUERIES, together, strict=True):
            alone = await bench.batcher.rank(query)
            assert found.item_ids == alone.item_ids
            for row, other in zip(found.scores, alone.scores, strict=True):
                assert row == pytest.approx(other, rel=1e-5)
        assert [len(each.item_ids[0]) for each in together] == [5, 3, 40, 2, 5]

    run(index, main)


def test_a_batch_is_not_larger_than_it_may_be(index):
    async def main(bench):
        tasks = [asyncio.create_task(bench.batcher.rank(ask(*[["i1"]] * size))) for size in (3, 4, 2, 12, 1)]
        await asyncio.sleep(0.05)
        bench.gate.set()
        found = await asyncio.gather(*tasks)
        assert [len(each.item_ids) for each in found] == [3, 4, 2, 12, 1]
        assert bench.sizes() == (4, 22)  # 3 + 4, 2, 12 alone, 1

    run(index, main)


def test_queries_that_are_given_up_are_not_computed(index):
    async def main(bench):
        first, *others = [asyncio.create_task(bench.batcher.rank(ask([f"i{number}"]))) for number in range(4)]
        await asyncio.sleep(0)  # all are queued
        for each in others:
            each.cancel()
        last = asyncio.create_task(bench.batcher.rank(ask(["i1"])))  # fills the batch
        bench.gate.set()
        assert all([(await each).item_ids for each in (first, last)])
        assert await asyncio.gather(*(is_cancelled(each) for each in others)) == [True] * 3
        assert bench.sizes() == (1, 2)

    async def is_cancelled(task):
        try:
            await task
        except asyncio.CancelledError:
            return True
        return False

    run(index, main, max_batch_size=5, delay_seconds=60.0)


def test_a_query_that_has_waited_too_long_is_refused(index):
    async def main(bench):
        first = asyncio.create_task(bench.batcher.rank(ask(["i1"])))
        await asyncio.sleep(0.05)  # taken, and held by the gate
        second = asyncio.create_task(bench.batcher.rank(ask(["i2"])))
        await asyncio.sleep(0.3)
        bench.gate.set()
        await first
        with pytest.raises(RequestError, match=r"The query has waited for 0.1 s\. The server is overloaded") as error:
            await second
        assert error.value.status == 503
        assert (await bench.batcher.rank(ask(["i3"]))).item_ids

    run(index, main, queue_seconds=0.1)


def test_it_ends_after_the_last_answer(index):
    async def main(bench):
        task = asyncio.create_task(bench.batcher.rank(ask(["i1"])))
        await asyncio.sleep(0.05)
        bench.batcher.close()
        assert bench.ended == 0
        bench.gate.set()
        assert (await task).item_ids
        assert bench.ended == 1

    run(index, main)


def test_an_error_of_a_batch_reaches_its_queries_and_ends_nothing(index):
    async def main(bench):
        bench.gate.set()
        broken = make_query("recommend", {"item_ids": [["i1"]], "k": 1}, BOUNDS)
        broken.ks[0] = 0  # what a request is not allowed to ask for
        with pytest.raises(Exception, match="Expected k to be at least 1"):
            await bench.batcher.rank(broken)
        assert (await bench.batcher.rank(ask(["i1"]))).item_ids

    run(index, main)
