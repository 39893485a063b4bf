"""Answers that nobody sees: a version beside the live one is asked the same and compared.

A shadow never delays a live answer: what it is to be asked waits in a short queue, its engine
computes in the background (`engines._turns`), and what waits too long is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

from feilun.engines._turns import TURNS
from feilun.errors import FeilunError
from feilun.serving.served import Served
from feilun.types import Item, Output

__all__ = ["PREFIX", "Shadow", "ShadowCounts", "total"]

log = logging.getLogger("feilun.serving")

PREFIX = "shadow:"
"""What the catalog's settings that hold the counts begin with."""

_MOST_CALLS = 64  # that wait; the oldest leave
_MOST_BYTES = 8 << 20
_SLICE = 8  # inputs asked at once
_PAUSE = 0.01
_PATIENCE = 5.0  # seconds until what waits is too old to be asked


@dataclass(slots=True)
class ShadowCounts:
    """What was found so far: compared inputs and those with another answer, the sum and the largest
    of the differences in the figures of equal answers, failures, calls that were dropped because
    the live version needed the machine, and seconds of both engines for the same inputs."""

    inputs: int = 0
    different: int = 0
    score_sum: float = 0.0
    score_most: float = 0.0
    failed: int = 0
    dropped: int = 0
    seconds: float = 0.0
    live_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As the catalog keeps it."""
        return {name: getattr(self, name) for name in self.__slots__}


def total(parts: Sequence[Mapping[str, Any]]) -> ShadowCounts:
    """The counts of several servers together."""
    counts = ShadowCounts()
    for part in parts:
        for name in ShadowCounts.__slots__:
            value = part.get(name, 0)
            if name == "score_most":
                counts.score_most = max(counts.score_most, value)
            else:
                setattr(counts, name, getattr(counts, name) + value)
    return counts


@dataclass(slots=True)
class _Sample:
    items: Sequence[Item]
    outputs: Sequence[Output]
    live_seconds: float
    size: int
    since: float = field(default_factory=perf_counter)


class Shadow:
    """One shadow version. `pressed` says whether live calls wait now."""

    def __init__(self, served: Served, pressed: Callable[[], bool]) -> None:
        self.served = served
        self.counts = ShadowCounts()
        self._pressed = pressed
        self._waiting: deque[_Sample] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="feilun-shadow")

    def offer(self, items: Sequence[Item], outputs: Sequence[Output], live_seconds: float) -> None:
        """What the live version was asked and said, and its engine's seconds. Costs it nothing:
        this only queues."""
        size = sum(len(item) if isinstance(item, (str, bytes)) else 64 for item in items)
        self._waiting.append(_Sample(items, outputs, live_seconds, size))
        self._bytes += size
        while len(self._waiting) > _MOST_CALLS or self._bytes > _MOST_BYTES:
            self._drop()
        self._more.set()

    async def close(self) -> None:
        """Asks nothing more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _drop(self) -> None:
        self._bytes -= self._waiting.popleft().size
        self.counts.dropped += 1

    async def _run(self) -> None:
        while True:
            await self._more.wait()
            while self._waiting:
                if perf_counter() - self._waiting[0].since > _PATIENCE:
                    self._drop()
                elif self._pressed():
                    await asyncio.sleep(_PAUSE)
                else:
                    sample = self._waiting.popleft()
                    self._bytes -= sample.size
                    await self._ask(sample)
            self._more.clear()

    async def _ask(self, sample: _Sample) -> None:
        asked = 0
        try:
            sample = await self._answered_here(sample)
            for start in range(0, len(sample.items), _SLICE):
                while self._pressed():
                    if perf_counter() - sample.since > _PATIENCE:
                        self.counts.dropped += 1
                        return
                    await asyncio.sleep(_PAUSE)
                if self.served.engine is not None:
                    TURNS.background(self.served.engine)
                items = sample.items[start : start + _SLICE]
                outputs, usage = await self.served.answer(items, customer="shadow")
                asked += len(items)
                share = len(items) / len(sample.items)
                self.counts.seconds += usage.engine_seconds
                self.counts.live_seconds += sample.live_seconds * share
                self._compare(sample.outputs[start : start + _SLICE], outputs)
        except FeilunError as error:
            self.counts.failed += len(sample.items) - asked
            log.warning("the shadow %s failed: %s", self.served.id, error.message("en"))
        except Exception:
            self.counts.failed += len(sample.items) - asked
            log.exception("the shadow %s failed", self.served.id)

    async def _answered_here(self, sample: _Sample) -> _Sample:
        """Without what the shadow would pass on to another server, which would want money for an
        answer that nobody hears."""
        engine = self.served.engine
        passes = getattr(engine, "passes", None)
        if engine is None or passes is None or not engine.info.get("remote"):
            return sample
        passed = await asyncio.to_thread(passes, sample.items)
        kept = [place for place, gone in enumerate(passed) if not gone]
        return replace(
            sample,
            items=[sample.items[place] for place in kept],
            outputs=[sample.outputs[place] for place in kept],
            live_seconds=sample.live_seconds * len(kept) / max(1, len(sample.items)),
        )

    def _compare(self, live: Sequence[Output], own: Sequence[Output]) -> None:
        counts = self.counts
        counts.inputs += len(own)
        family = self.served.task.family
        for one, other in zip(live, own, strict=True):
            found = family.differ(family.bare(one), family.bare(other))
            if not found.same:
                counts.different += 1
                continue
            counts.score_sum += found.size
            counts.score_most = max(counts.score_most, found.size)
