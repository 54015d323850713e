"""What every WorkQueue does. Delays are real and short; no test demands speed under load."""

import asyncio
import random
from collections import Counter

import pytest

from fairlead.drivers.queue_memory import MemoryQueue
from fairlead.ports import WorkQueue

SHORT = 0.05
SOON = 5.0


@pytest.fixture(params=[MemoryQueue])
def queue(request: pytest.FixtureRequest) -> WorkQueue:
    return request.param()


async def claim(queue: WorkQueue, within: float = SOON) -> str:
    return await asyncio.wait_for(queue.claim(), within)


async def nothing_due(queue: WorkQueue, during: float = SHORT) -> bool:
    try:
        await claim(queue, during)
    except TimeoutError:
        return True
    return False


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_key_put_is_claimed(queue: WorkQueue) -> None:
    await queue.put("a")
    assert await claim(queue) == "a"


async def test_a_claim_waits_for_a_key(queue: WorkQueue) -> None:
    waiting = asyncio.create_task(queue.claim())
    await asyncio.sleep(SHORT)
    assert not waiting.done()
    await queue.put("a")
    assert await asyncio.wait_for(waiting, SOON) == "a"


async def test_wake_ups_that_wait_are_one_piece_of_work(queue: WorkQueue) -> None:
    for _ in range(5):
        await queue.put("a")
    assert await claim(queue) == "a"
    await queue.done("a")
    assert await nothing_due(queue)


async def test_a_running_key_has_no_second_runner(queue: WorkQueue) -> None:
    await queue.put("a")
    await claim(queue)
    await queue.put("a")
    assert await nothing_due(queue)


async def test_put_while_running_runs_once_more_afterwards(queue: WorkQueue) -> None:
    await queue.put("a")
    await claim(queue)
    await queue.put("a")
    await queue.put("a")
    await queue.done("a")
    assert await claim(queue) == "a"
    await queue.done("a")
    assert await nothing_due(queue)


async def test_keys_come_out_in_the_order_they_were_put(queue: WorkQueue) -> None:
    for key in "dacb":
        await queue.put(key)
    assert [await claim(queue) for _ in range(4)] == list("dacb")


async def test_a_key_asked_for_again_goes_to_the_end(queue: WorkQueue) -> None:
    await queue.put("a")
    await queue.put("b")
    await claim(queue)
    await queue.put("a")
    await queue.done("a")
    assert [await claim(queue), await claim(queue)] == ["b", "a"]


async def test_a_delayed_key_waits(queue: WorkQueue) -> None:
    asked = now()
    await queue.put("a", delay=2 * SHORT)
    assert await claim(queue) == "a"
    assert now() - asked >= 2 * SHORT - 0.001


async def test_due_keys_overtake_later_ones(queue: WorkQueue) -> None:
    await queue.put("later", delay=2 * SHORT)
    await queue.put("soon", delay=SHORT)
    await queue.put("now")
    assert [await claim(queue) for _ in range(3)] == ["now", "soon", "later"]


@pytest.mark.parametrize("delays", [(60.0, 0.0), (0.0, 60.0), (60.0, SHORT, 30.0)])
async def test_the_earliest_due_time_wins(queue: WorkQueue, delays: tuple[float, ...]) -> None:
    for delay in delays:
        await queue.put("a", delay=delay)
    assert await claim(queue) == "a"
    await queue.done("a")
    assert await nothing_due(queue)


async def test_a_waiting_claim_hears_of_an_earlier_due_time(queue: WorkQueue) -> None:
    await queue.put("a", delay=60)
    waiting = asyncio.create_task(queue.claim())
    await asyncio.sleep(0)
    await queue.put("a")
    assert await asyncio.wait_for(waiting, SOON) == "a"


async def test_the_earliest_wins_while_running_too(queue: WorkQueue) -> None:
    await queue.put("a")
    await claim(queue)
    await queue.put("a", delay=60)
    await queue.done("a", retry_after=SHORT)
    assert await claim(queue) == "a"
    await queue.put("a")
    await queue.done("a", retry_after=60)
    assert await claim(queue) == "a"


async def test_retry_after_asks_again_later(queue: WorkQueue) -> None:
    await queue.put("a")
    await claim(queue)
    ended = now()
    await queue.done("a", retry_after=2 * SHORT)
    assert await claim(queue) == "a"
    assert now() - ended >= 2 * SHORT - 0.001


async def test_a_put_brings_a_retry_forward(queue: WorkQueue) -> None:
    await queue.put("a")
    await claim(queue)
    await queue.done("a", retry_after=60)
    await queue.put("a")
    assert await claim(queue) == "a"


async def test_done_of_an_unknown_key_does_nothing(queue: WorkQueue) -> None:
    await queue.done("a")
    await queue.done("a", retry_after=0)
    assert await nothing_due(queue)


async def test_done_of_a_waiting_key_leaves_it_waiting(queue: WorkQueue) -> None:
    await queue.put("a")
    await queue.done("a")
    assert await claim(queue) == "a"


async def test_a_claim_cancelled_while_it_waits_loses_nothing(queue: WorkQueue) -> None:
    waiting = asyncio.create_task(queue.claim())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await queue.put("a")
    assert await claim(queue) == "a"


@pytest.mark.parametrize("others", [0, 1])
async def test_a_claim_cancelled_as_it_is_woken_hands_the_key_on(
    queue: WorkQueue, others: int
) -> None:
    cancelled = asyncio.create_task(queue.claim())
    await asyncio.sleep(0)
    rest = [asyncio.create_task(queue.claim()) for _ in range(others)]
    await asyncio.sleep(0)
    await queue.put("a")
    cancelled.cancel()
    found = await asyncio.gather(cancelled, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    if rest:
        assert await asyncio.wait_for(rest[0], SOON) == "a"
    else:
        assert await claim(queue) == "a"


async def test_a_claim_cancelled_beside_the_alarm_loses_nothing(queue: WorkQueue) -> None:
    """Cancelled at every phase around the moment a key gets due."""
    for step in range(20):
        key = f"k{step}"
        await queue.put(key, delay=0.01)
        waiting = asyncio.create_task(queue.claim())
        await asyncio.sleep(0.005 + step * 0.0005)
        waiting.cancel()
        (result,) = await asyncio.gather(waiting, return_exceptions=True)
        if isinstance(result, asyncio.CancelledError):
            result = await claim(queue)
        assert result == key
        await queue.done(key)


class Workshop:
    """Workers that notice two runners of one key, and put that nobody answered."""

    def __init__(self, queue: WorkQueue, seed: int) -> None:
        self.queue = queue
        self.random = random.Random(seed)
        self.running: set[str] = set()
        self.runs: Counter[str] = Counter()
        self.unanswered: set[str] = set()

    async def work(self) -> None:
        while True:
            key = await self.queue.claim()
            assert key not in self.running
            self.running.add(key)
            self.unanswered.discard(key)
            self.runs[key] += 1
            try:
                await asyncio.sleep(self.random.choice((0, 0, 0.001, 0.003)))
            finally:
                self.running.discard(key)
                again = self.random.random() < 0.05
                if again:
                    self.unanswered.add(key)
                await self.queue.done(key, retry_after=0.002 if again else None)

    async def ask(self, keys: list[str], times: int) -> None:
        for _ in range(times):
            key = self.random.choice(keys)
            await self.queue.put(key, delay=self.random.choice((0, 0, 0.001, 0.004)))
            self.unanswered.add(key)
            await asyncio.sleep(self.random.choice((0, 0, 0.001)))


@pytest.mark.parametrize("seed", range(5))
async def test_one_runner_per_key_and_every_put_answered(queue: WorkQueue, seed: int) -> None:
    """50 workers, some of them cancelled and replaced on the way."""
    shop = Workshop(queue, seed)
    workers = [asyncio.create_task(shop.work()) for _ in range(50)]
    asking = [asyncio.create_task(shop.ask([f"k{n}" for n in range(7)], 150)) for _ in range(4)]
    for _ in range(40):
        await asyncio.sleep(0.002)
        place = shop.random.randrange(len(workers))
        assert not workers[place].done()
        workers[place].cancel()
        await asyncio.gather(workers[place], return_exceptions=True)
        workers[place] = asyncio.create_task(shop.work())
    await asyncio.gather(*asking)
    for _ in range(1000):
        if not shop.unanswered and not shop.running:
            break
        await asyncio.sleep(0.005)
    assert not shop.unanswered
    assert not [w for w in workers if w.done()]
    assert sum(shop.runs.values()) <= 4 * 150 * 2
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
