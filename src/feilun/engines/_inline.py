"""Engines that answer in their caller's thread, because an answer takes well under a millisecond.

Nothing is queued. A long call is cut into slices, between which the event loop serves the others.
Items that take long to read, such as pictures, go to threads.
"""

from __future__ import annotations

import asyncio
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from feilun.engines.card import Card
from feilun.errors import EnvironmentProblem, Overloaded
from feilun.tasks import base as tasks
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = ["InlineEngine", "added"]

_SLICE = 16  # items that may hold the event loop at once, some milliseconds of long texts


class InlineEngine(ABC):
    """An engine that has `raw`. See `Engine` for the meaning of each method."""

    name: str

    def __init__(self, card: Card, *, slow: bool = False) -> None:
        """`slow` engines take milliseconds for an item, which threads spend."""
        self.card = card
        self._task = tasks.of(card.schema)
        family = self._task.family
        self._decode = family.decoder(card.schema, card.point)
        self._width = family.width(card.schema.labels)
        self._lock = threading.Lock()
        self._usage = Usage()
        self._closed = False
        # Pictures are decoded beside the event loop, by as many threads as there are cores; texts
        # take less time than the way to a thread.
        self._aside: ThreadPoolExecutor | None = None
        if slow or any(column.kind == "image" for column in self._task.columns):
            self._aside = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "feilun-inline")

    @abstractmethod
    def raw(self, items: Sequence[Item]) -> np.ndarray:
        """See `Engine.raw`."""

    @property
    def info(self) -> Mapping[str, Any]:
        return {
            "engine": self.name,
            "device": "CPU",
            "precision": self.card.precision,
            "streams": 1,
            "threads": 1,
            "batch": _SLICE,
            "waiting": 0,
            "vectors": False,
        }

    @property
    def usage(self) -> Usage:
        return self._usage

    def predict(self, items: Sequence[Item], all_scores: bool = False) -> list[Output]:
        outputs: list[Output] = []
        for start in range(0, len(items), 1024):
            outputs += self._answer(EngineRequest(items[start : start + 1024], all_scores))[0]
        return outputs

    async def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        if self._closed:
            raise EnvironmentProblem("engines.closed")
        outputs: list[Output] = []
        usage = Usage()
        for start in range(0, len(request.items), _SLICE):
            if request.deadline is not None and monotonic() > request.deadline:
                raise Overloaded("engines.too_late", retry_after=1.0)
            if start:
                await asyncio.sleep(0)
            one = replace(request, items=request.items[start : start + _SLICE])
            if self._aside is None:
                part, used = self._answer(one)
            else:
                loop = asyncio.get_running_loop()
                part, used = await loop.run_in_executor(self._aside, self._answer, one)
            outputs += part
            usage = added(usage, used)
        yield Chunk(outputs, usage)

    def most(self, request: EngineRequest) -> Mapping[str, int]:
        return {"inputs": len(request.items)}

    def warm_up(self) -> None:
        self.raw(self._task.example_items())

    def close(self) -> None:
        self._closed = True
        if self._aside is not None:
            self._aside.shutdown(wait=False)

    def outputs(self, request: EngineRequest) -> list[Output]:
        """The answers to a part of a call. Default: what `raw` gives, decoded."""
        return self._decode(self.raw(request.items), request.all_scores)

    def counted(self, request: EngineRequest) -> Usage:
        """What answering a part of a call consumes, but for time. Default: its inputs."""
        return Usage(inputs=len(request.items))

    def _answer(self, request: EngineRequest) -> tuple[list[Output], Usage]:
        start = perf_counter()
        outputs = self.outputs(request)
        used = replace(self.counted(request), engine_seconds=perf_counter() - start)
        self._count(used)
        return outputs, used

    def _count(self, used: Usage) -> None:
        with self._lock:
            self._usage = added(self._usage, used)


def added(one: Usage, other: Usage) -> Usage:
    """What both consumed together."""
    return Usage(
        inputs=one.inputs + other.inputs,
        tokens=one.tokens + other.tokens,
        pixels=one.pixels + other.pixels,
        engine_seconds=one.engine_seconds + other.engine_seconds,
        units=_sums(one.units, other.units),
        upstream=_sums(one.upstream, other.upstream),
        upstream_seconds=one.upstream_seconds + other.upstream_seconds,
    )


def _sums(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in (*one, *other)}
