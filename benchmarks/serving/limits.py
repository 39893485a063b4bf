"""What the engine can do in process: closed loops with so many calls outstanding, a whole list
sorted, and one inference alone."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from feilun.engines.base import Engine, open_engine
from feilun.types import EngineRequest, Item

__all__ = ["alone", "limit", "opened", "sorted_limit"]

LIST = 2000


def opened(folder: Path) -> Engine:
    """The variant as the server opens it, warm."""
    engine = open_engine(folder)
    engine.warm_up()
    return engine


def limit(
    engine: Engine, items: Sequence[Item], calls: int, seconds: float, size: int = 1
) -> dict[str, float]:
    """A closed loop of calls of `size` items with so many outstanding, on the loop that the server
    uses; calls and items a second, times of a call, processor time of a call."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_closed_loop(engine, items, calls, min(1.0, seconds), size))
        return runner.run(_closed_loop(engine, items, calls, seconds, size))


async def _closed_loop(
    engine: Engine, items: Sequence[Item], calls: int, seconds: float, size: int
) -> dict[str, float]:
    draw = random.Random(0)
    taken: list[float] = []
    begun, busy = time.perf_counter(), time.process_time()

    async def caller() -> None:
        while (start := time.perf_counter()) < begun + seconds:
            request = EngineRequest(draw.choices(items, k=size), all_scores=True)
            async for _ in engine.submit(request):
                pass
            taken.append(time.perf_counter() - start)

    await asyncio.gather(*(caller() for _ in range(calls)))
    wall, cpu = time.perf_counter() - begun, time.process_time() - busy
    taken.sort()
    return {
        "per_second": len(taken) / wall,
        "items_per_second": size * len(taken) / wall,
        "p50_ms": taken[len(taken) // 2] * 1e3,
        "p99_ms": taken[int(len(taken) * 0.99)] * 1e3,
        "cpu_us": cpu / len(taken) * 1e6,
    }


def sorted_limit(engine: Engine, items: Sequence[Item]) -> float:
    """Items a second when the whole list is known, and its order free."""
    known = list(items[:LIST])
    start = time.perf_counter()
    engine.predict(known)
    return len(known) / (time.perf_counter() - start)


def alone(engine: Engine, items: Sequence[Item], seconds: float) -> float:
    """Milliseconds of one inference while nothing else runs: the median of calls with one item,
    words to tokens to answer, without queue, loop or network."""
    draw = random.Random(0)
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while (start := time.perf_counter()) < until or not taken:
        engine.predict([draw.choice(items)])
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e3
