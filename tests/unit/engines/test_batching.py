"""Batches by length: order, fairness, and failures that stay with who caused them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.engines.batching import BATCH, MULTIPLE, Answered, Batcher, plan
from feilun.errors import EnvironmentProblem, InvalidData
from feilun.tasks.base import Encoded
from feilun.types import Item, Output


def encode(items: Sequence[Item]) -> list[Encoded]:
    """An item is its own cost; a negative one cannot be encoded."""
    numbers = [int(str(item)) for item in items]
    if any(number < 0 for number in numbers):
        raise InvalidData("tasks.no_text", given="negative")
    return [Encoded({"n": np.array([number])}, number) for number in numbers]


def answer(batch: Sequence[Encoded], all_scores: Sequence[bool]) -> list[Output]:
    return [
        {"label": str(item.cost), "all": wanted}
        for item, wanted in zip(batch, all_scores, strict=True)
    ]


@contextmanager
def batcher(
    answers: Callable[[Sequence[Encoded], Sequence[bool]], list[Output]] = answer,
    workers: int = 2,
) -> Iterator[Batcher]:
    made = Batcher(encode, answers, workers)
    try:
        yield made
    finally:
        made.close()


def labels(answered: Answered) -> list[int]:
    return [int(output["label"]) for output in answered.outputs]


def rounded(cost: int) -> int:
    return -(-cost // MULTIPLE) * MULTIPLE


@given(st.lists(st.integers(1, 600), max_size=80))
def test_plan_takes_each_place_once_in_batches_of_similar_cost(costs: list[int]) -> None:
    batches = plan(costs)
    assert sorted(place for batch in batches for place in batch) == list(range(len(costs)))
    for batch in batches:
        own = [rounded(costs[place]) for place in batch]
        assert len(batch) <= BATCH
        assert max(own) <= min(own) * 1.3
    firsts = [costs[batch[0]] for batch in batches]
    assert firsts == sorted(firsts, reverse=True)


def test_every_call_gets_its_own_answers_in_its_own_order() -> None:
    draw = np.random.default_rng(0)
    calls = [[int(n) for n in draw.integers(1, 300, size)] for size in draw.integers(0, 40, 60)]

    async def main() -> list[Answered]:
        with batcher() as running:
            return await asyncio.gather(
                *(running.run(call, number % 2 == 0) for number, call in enumerate(calls))
            )

    for number, (call, answered) in enumerate(zip(calls, asyncio.run(main()), strict=True)):
        assert labels(answered) == call
        assert answered.cost == sum(call)
        assert all(output["all"] == (number % 2 == 0) for output in answered.outputs)


def test_what_waits_together_is_grouped_by_cost() -> None:
    seen: list[list[int]] = []
    free = threading.Event()

    def slowly(batch: Sequence[Encoded], wanted: Sequence[bool]) -> list[Output]:
        free.wait(10)
        seen.append([item.cost for item in batch])
        return answer(batch, wanted)

    async def main() -> None:
        with batcher(slowly, workers=1) as running:
            calls = [asyncio.create_task(running.run([n])) for n in [20, 200] * 20]
            while running.waiting + BATCH < len(calls):
                await asyncio.sleep(0.01)
            free.set()
            await asyncio.gather(*calls)

    asyncio.run(main())
    assert all(len(set(batch)) == 1 for batch in seen)
    assert len(seen) <= 40 // BATCH + 3


def test_what_takes_long_to_prepare_is_shared_out() -> None:
    both = threading.Barrier(2, timeout=60)
    prepared: list[int] = []

    def slow(items: Sequence[Item]) -> list[Encoded]:
        time.sleep(0.005 * len(items))
        prepared.append(len(items))
        if 1 < len(prepared) <= 3:  # the first one tells how long it takes
            both.wait()  # until the other thread prepares too
        return encode(items)

    async def main() -> None:
        running = Batcher(slow, answer, 2)
        try:
            await running.run([1])
            await asyncio.gather(running.run([2] * 8), running.run([2] * 8))
        finally:
            running.close()

    asyncio.run(main())
    assert sum(prepared) == 17
    assert max(prepared) <= 8


def test_a_bad_item_fails_its_own_call_alone() -> None:
    async def main() -> list[object]:
        with batcher() as running:
            calls = [running.run([n, n + 1]) for n in (1, 2, -9, 4)]
            return list(await asyncio.gather(*calls, return_exceptions=True))

    found = asyncio.run(main())
    assert isinstance(found[2], InvalidData)
    assert [labels(one) for one in found if isinstance(one, Answered)] == [[1, 2], [2, 3], [4, 5]]


def test_a_failed_batch_fails_its_calls_and_no_later_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = True

    def fails(batch: Sequence[Encoded], wanted: Sequence[bool]) -> list[Output]:
        if broken:
            raise RuntimeError("out of order")
        return answer(batch, wanted)

    async def main() -> None:
        nonlocal broken
        with batcher(fails) as running:
            calls = [running.run([n]) for n in range(1, 4)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            codes = [one.code for one in found if isinstance(one, EnvironmentProblem)]
            assert codes == ["engines.failed"] * 3
            assert len({id(one) for one in found}) == 3
            broken = False
            assert labels(await running.run([7])) == [7]

    asyncio.run(main())
    assert "out of order" in caplog.text


def test_too_few_outputs_are_a_failure_not_a_wait() -> None:
    async def main() -> None:
        with batcher(lambda batch, wanted: []) as running, pytest.raises(EnvironmentProblem):
            await asyncio.wait_for(running.run([1, 2]), 10)

    asyncio.run(main())


def test_a_small_call_does_not_wait_for_a_large_one() -> None:
    def slowly(batch: Sequence[Encoded], wanted: Sequence[bool]) -> list[Output]:
        time.sleep(0.005)
        return answer(batch, wanted)

    async def main() -> None:
        with batcher(slowly) as running:
            large = asyncio.create_task(running.run([50] * 1000))
            await asyncio.sleep(0.05)
            for _ in range(3):
                await running.run([300])
            assert not large.done()
            assert labels(await large) == [50] * 1000

    asyncio.run(main())


def test_a_cancelled_call_leaves_the_others_alone() -> None:
    free = threading.Event()

    def waits(batch: Sequence[Encoded], wanted: Sequence[bool]) -> list[Output]:
        free.wait(10)
        return answer(batch, wanted)

    async def main() -> None:
        with batcher(waits, workers=1) as running:
            first, second = (asyncio.create_task(running.run([n] * 20)) for n in (10, 400))
            await asyncio.sleep(0.05)
            first.cancel()
            await asyncio.sleep(0)
            free.set()
            assert labels(await second) == [400] * 20
            with pytest.raises(asyncio.CancelledError):
                await first

    asyncio.run(main())


def test_close_finishes_what_it_has_and_takes_no_more() -> None:
    async def main() -> None:
        running = Batcher(encode, answer, 2)
        calls = [asyncio.create_task(running.run([n] * 30)) for n in range(1, 20)]
        await asyncio.sleep(0)
        running.close()
        assert [labels(one) for one in await asyncio.gather(*calls)] == [
            [n] * 30 for n in range(1, 20)
        ]
        with pytest.raises(EnvironmentProblem) as refused:
            await running.run([1])
        assert refused.value.code == "engines.closed"
        running.close()

    asyncio.run(main())


def test_answers_calls_of_several_event_loops() -> None:
    found: list[list[int]] = []

    async def main(running: Batcher, number: int) -> None:
        found.append(labels(await running.run([number] * 50)))

    with batcher() as running:
        threads = [
            threading.Thread(target=lambda n=n: asyncio.run(main(running, n))) for n in (1, 2, 3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == [[n] * 50 for n in (1, 2, 3)]


def test_a_loop_that_ended_does_not_stop_the_workers() -> None:
    free = threading.Event()

    def waits(batch: Sequence[Encoded], wanted: Sequence[bool]) -> list[Output]:
        free.wait(10)
        return answer(batch, wanted)

    async def leaves(running: Batcher) -> None:
        call = asyncio.create_task(running.run([5]))
        await asyncio.sleep(0.05)
        call.cancel()

    with batcher(waits, workers=1) as running:
        asyncio.run(leaves(running))
        free.set()
        assert labels(asyncio.run(running.run([6]))) == [6]
