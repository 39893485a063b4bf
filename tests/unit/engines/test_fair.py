"""Turns: customers get their share, large calls starve nobody, engines share the cores."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.engines._fair import TURN, Line, Piece, Pool, rounded
from feilun.engines._turns import Turns
from feilun.engines.batching import BATCH, Batcher
from feilun.errors import EnvironmentProblem, Overloaded
from feilun.tasks.base import Encoded
from feilun.types import Item, Output


@dataclass(eq=False)
class Call:
    customer: str
    size: int = 1
    prepared: int = 0
    turn: float = -1.0
    over: bool = False


def piece(call: Call, position: int, cost: int = 16) -> Piece[Call]:
    return Piece(call, position, Encoded({"n": np.zeros(1, np.int32)}, cost), 4)


def fill(pool: Pool[Call], customer: str, sizes: Sequence[int], cost: int = 16) -> list[Call]:
    calls = [Call(customer, size) for size in sizes]
    for call in calls:
        for position in range(call.size):
            pool.add(piece(call, position, cost))
    return calls


def test_a_flood_leaves_the_others_their_turn() -> None:
    pool: Pool[Call] = Pool(BATCH)
    fill(pool, "flood", [1] * 200)
    fill(pool, "small", [1], cost=64)  # of another length, so that it leads its own batch
    served = [{piece.call.customer for piece in pool.take()} for _ in range(3)]
    assert {"small"} in served


def test_two_who_wait_get_equal_shares_whatever_they_have_sent() -> None:
    pool: Pool[Call] = Pool(BATCH)
    fill(pool, "much", [1] * 400, cost=16)
    fill(pool, "long", [1] * 100, cost=160)
    used: Counter[str] = Counter()
    for _ in range(30):
        for one in pool.take():
            used[one.call.customer] += rounded(one.encoded.cost)
    assert 0.75 < used["much"] / used["long"] < 1.35


def test_half_way_through_a_large_call_a_small_one_has_the_next_turn() -> None:
    """Batches take what is similar in length from all over a large call. By the places of its
    items, a newcomer stood behind all that was left of the first half."""
    draw = np.random.default_rng(5)
    pool: Pool[Call] = Pool(BATCH)
    large = Call("one", 512)
    for position, cost in enumerate(draw.integers(16, 128, 512).tolist()):
        pool.add(piece(large, position, cost))
    for _ in range(30):
        pool.take()
    small = Call("one")
    pool.add(piece(small, 0, 200))  # of another length than all others
    served = [{one.call for one in pool.take()} for _ in range(2)]
    assert any(small in calls for calls in served)
    late = [Call("one") for _ in range(40)]  # and yet the large one goes on beside newcomers
    shares = 0
    for call in late:
        pool.add(piece(call, 0, 200))
        shares += sum(one.call is large for one in pool.take())
    assert shares >= 40


def test_a_call_that_comes_back_stands_where_its_customers_line_is() -> None:
    pool: Pool[Call] = Pool(BATCH)
    large = Call("one", 512)
    others = [Call(f"other{number}", 512) for number in range(5)]
    place = dict.fromkeys([large, *others], 0)
    for _ in range(12):  # each has as many items in the pool as a batch takes
        for call, begin in place.items():
            for position in range(begin, begin + TURN):
                pool.add(piece(call, position))
            place[call] = begin + TURN
        while pool.take():
            pass
    for position in range(place[large], place[large] + 64):
        pool.add(piece(large, position))
    small = Call("one")
    pool.add(piece(small, 0, 200))
    served = [{one.call for one in pool.take()} for _ in range(2)]
    assert any(small in calls for calls in served)


def test_who_comes_late_has_no_claim_to_the_past() -> None:
    pool: Pool[Call] = Pool(BATCH)
    fill(pool, "early", [1] * 400)
    for _ in range(20):
        pool.take()
    fill(pool, "late", [1] * 400, cost=64)
    used = Counter(one.call.customer for _ in range(16) for one in pool.take())
    assert used["early"] > 0
    assert used["late"] > 0


def test_leaving_and_coming_back_gains_nothing() -> None:
    pool: Pool[Call] = Pool(BATCH)
    fill(pool, "steady", [1] * 800, cost=64)
    used: Counter[str] = Counter()
    for _ in range(60):
        if not any(one.call.customer == "comes" for one in pool._pieces):
            fill(pool, "comes", [1] * BATCH)
        for one in pool.take():
            used[one.call.customer] += rounded(one.encoded.cost)
    assert used["comes"] <= 1.5 * used["steady"]


def test_small_calls_of_the_same_customer_pass_a_large_one_but_do_not_starve_it() -> None:
    pool: Pool[Call] = Pool(BATCH)
    (large,) = fill(pool, "one", [512])
    fill(pool, "one", [1], cost=64)
    assert any(one.call.size == 1 for _ in range(3) for one in pool.take())
    before = sum(one.call is large for one in pool._pieces)
    for _ in range(40):  # small ones keep coming, of a length that never fits beside
        fill(pool, "one", [1] * 4, cost=64)
        pool.take()
    assert sum(one.call is large for one in pool._pieces) < before


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30), st.integers(1, 300))))
def test_every_piece_is_taken_once_and_batches_are_of_similar_cost(
    calls: list[tuple[str, int, int]],
) -> None:
    pool: Pool[Call] = Pool(BATCH)
    for customer, size, cost in calls:
        fill(pool, customer, [size], cost)
    seen: list[Piece[Call]] = []
    while batch := pool.take():
        costs = [rounded(one.encoded.cost) for one in batch]
        assert len(batch) <= BATCH
        assert max(costs) <= 1.3 * min(costs)
        seen += batch
    assert len(seen) == len({id(one) for one in seen}) == sum(size for _, size, _ in calls)
    assert len(pool) == pool.bytes == 0
    assert not pool._customers


def test_the_line_goes_round_customers() -> None:
    line: Line[Call] = Line()
    for _ in range(100):
        line.add(Call("flood"))
    line.add(Call("small"))
    line.add(Call("large", 512))
    taken = line.take(3 * TURN)
    items: Counter[str] = Counter()
    for call, start, end in taken:
        items[call.customer] += end - start
    assert items == {"flood": 2 * TURN - 1, "small": 1, "large": TURN}


def test_what_is_over_leaves_line_and_pool() -> None:
    line: Line[Call] = Line()
    pool: Pool[Call] = Pool(BATCH)
    gone, stays = Call("a", 20), Call("a", 20)
    line.add(gone)
    line.add(stays)
    pool.add(piece(gone, 0))
    pool.add(piece(stays, 0))
    gone.over = True
    line.drop_over()
    pool.drop_over()
    assert {call for call, *_ in line.take(100)} == {stays}
    assert [one.call for one in pool.take()] == [stays]
    assert not line


def encode(items: Sequence[Item]) -> list[Encoded]:
    return [Encoded({"n": np.zeros(1, np.int32)}, int(str(item))) for item in items]


class Engine:
    """Takes a while for each batch; notes the costs of the items in it."""

    def __init__(self, seconds: float = 0.002) -> None:
        self.seconds = seconds
        self.free = threading.Event()
        self.free.set()
        self.seen: list[list[int]] = []
        self.begun = threading.Event()

    @property
    def batches(self) -> int:
        return len(self.seen)

    def __call__(self, batch: Sequence[Encoded], wanted: Sequence[bool]) -> list[Output]:
        self.begun.set()
        self.free.wait(60)
        time.sleep(self.seconds)
        self.seen.append([item.cost for item in batch])
        return [{"label": str(item.cost)} for item in batch]


@contextmanager
def batcher(engine: Engine, workers: int = 1) -> Iterator[Batcher]:
    made = Batcher(encode, engine, workers)
    try:
        yield made
    finally:
        engine.free.set()
        made.close()


def test_a_customer_with_one_call_does_not_wait_for_anothers_thousand() -> None:
    engine = Engine(0.005)

    async def main() -> None:
        with batcher(engine) as running:
            engine.free.clear()
            flood = [asyncio.create_task(running.run([20], customer="flood")) for _ in range(1000)]
            await asyncio.to_thread(engine.begun.wait, 60)
            other = asyncio.create_task(running.run([200], customer="other"))
            await asyncio.sleep(0.02)
            engine.free.set()
            await other
            [its] = [place for place, batch in enumerate(engine.seen) if 200 in batch]
            assert its <= 6
            assert sum(map(len, engine.seen[:its])) < 500
            for task in flood:
                task.cancel()
            await asyncio.gather(*flood, return_exceptions=True)

    asyncio.run(main())


def test_what_waits_past_its_deadline_is_dropped_and_told() -> None:
    engine = Engine()
    engine.free.clear()

    async def main() -> None:
        with batcher(engine) as running:
            first = asyncio.create_task(running.run([10]))
            await asyncio.to_thread(engine.begun.wait, 60)
            soon = time.monotonic() + 0.05
            late = [asyncio.create_task(running.run([10], deadline=soon)) for _ in range(20)]
            await asyncio.sleep(0.2)
            engine.free.set()
            found = await asyncio.gather(*late, return_exceptions=True)
            assert all(isinstance(one, Overloaded) for one in found)
            assert {one.code for one in found if isinstance(one, Overloaded)} == {
                "engines.too_late"
            }
            assert (await first).outputs == [{"label": "10"}]
            assert engine.batches == 1
            assert running.waiting == 0

    asyncio.run(main())


def test_items_of_a_caller_who_went_away_are_not_computed() -> None:
    engine = Engine()
    engine.free.clear()

    async def main() -> None:
        with batcher(engine) as running:
            first = asyncio.create_task(running.run([10]))
            await asyncio.to_thread(engine.begun.wait, 60)
            gone = asyncio.create_task(running.run([300] * 400))
            stays = asyncio.create_task(running.run([500]))
            await asyncio.sleep(0.05)
            gone.cancel()
            await asyncio.sleep(0)
            engine.free.set()
            await asyncio.gather(first, stays)
            assert running.waiting == 0
            assert engine.batches <= 4

    asyncio.run(main())


def test_queue_and_preparing_are_told_apart_from_the_engine() -> None:
    engine = Engine(0.02)

    def slowly(items: Sequence[Item]) -> list[Encoded]:
        time.sleep(0.01)
        return encode(items)

    async def main() -> None:
        running = Batcher(slowly, engine, 1)
        try:
            answered = await asyncio.gather(*(running.run([100 * n]) for n in range(1, 6)))
        finally:
            running.close()
        last = max(answered, key=lambda one: one.queue_seconds)
        first = min(answered, key=lambda one: one.queue_seconds)
        assert last.queue_seconds > first.queue_seconds + first.seconds  # it waited for its turn
        assert all(one.encode_seconds > 0 and one.seconds > 0 for one in answered)

    asyncio.run(main())


def test_an_engine_that_hangs_can_be_given_up() -> None:
    engine = Engine()
    engine.free.clear()

    async def main() -> None:
        with batcher(engine, workers=2) as running:
            calls = [asyncio.create_task(running.run([10])) for _ in range(30)]
            await asyncio.sleep(0.1)
            assert running.oldest is not None
            running.abandon()
            found = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
            codes = {one.code for one in found if isinstance(one, EnvironmentProblem)}
            assert codes == {"engines.abandoned"}
            with pytest.raises(EnvironmentProblem):
                await running.run([1])

    asyncio.run(main())


class Member:
    pass


def test_engines_share_the_cores_by_time() -> None:
    turns = Turns()
    one, two = Member(), Member()
    turns.join(one, 1)
    turns.join(two, 1)
    had = {"one": 0.0, "two": 0.0}
    running = most = 0
    lock = threading.Lock()
    until = time.monotonic() + 0.6

    def work(name: str, member: Member, seconds: float) -> None:
        nonlocal running, most
        while time.monotonic() < until:
            with turns.take(member):
                with lock:
                    running += 1
                    most = max(most, running)
                begun = time.monotonic()
                time.sleep(seconds)
                had[name] += time.monotonic() - begun
                with lock:
                    running -= 1

    # The first has four threads and short batches, the second one thread and long ones.
    threads = [threading.Thread(target=work, args=("one", one, 0.002)) for _ in range(4)]
    threads.append(threading.Thread(target=work, args=("two", two, 0.01)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert 0.4 < had["one"] / had["two"] < 2.5


def test_an_engine_that_hangs_gives_its_turns_back() -> None:
    turns = Turns()
    hangs, lives = Member(), Member()
    turns.join(hangs, 1)
    turns.join(lives, 1)
    begun, over = threading.Event(), threading.Event()

    def hang() -> None:
        with turns.take(hangs):
            begun.set()
            over.wait(10)

    thread = threading.Thread(target=hang)
    thread.start()
    begun.wait(5)
    got = threading.Event()

    def live() -> None:
        with turns.take(lives):
            got.set()

    other = threading.Thread(target=live)
    other.start()
    assert not got.wait(0.1)
    turns.forget(hangs)
    assert got.wait(5)
    over.set()
    thread.join()
    other.join()
    with turns.take(lives):
        pass


def test_the_background_waits_for_the_foreground() -> None:
    turns = Turns()
    front, back = Member(), Member()
    turns.join(front, 2)
    turns.join(back, 2)
    turns.background(back)
    order: list[str] = []

    def work(name: str, member: Member) -> None:
        with turns.take(member):
            order.append(name)
            time.sleep(0.02)

    with turns.take(front):
        threads = [threading.Thread(target=work, args=("back", back)) for _ in range(2)]
        threads += [threading.Thread(target=work, args=("front", front)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        assert "back" not in order
    for thread in threads:
        thread.join()
    assert order[-2:] == ["back", "back"]
    with suppress(KeyError):
        turns.forget(back)
