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
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from feilun.engines.card import Card
from feilun.errors import EnvironmentProblem, Overloaded
from feilun.tasks import base as tasks
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = ["InlineEngine"]

_SLICE = 16  # items that may hold the event loop at once, some milliseconds of long texts


class InlineEngine(ABC):
    """An engine that has `raw`. See `Engine` for the meaning of each method."""

    name: str

    def __init__(self, card: Card) -> None:
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
        self._pictures: ThreadPoolExecutor | None = None
        if self._task.modality == "image":
            self._pictures = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "feilun-pictures")

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
            outputs += self._answer(items[start : start + 1024], all_scores)[0]
        return outputs

    async def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        if self._closed:
            raise EnvironmentProblem("engines.closed")
        outputs: list[Output] = []
        seconds = 0.0
        for start in range(0, len(request.items), _SLICE):
            if request.deadline is not None and monotonic() > request.deadline:
                raise Overloaded("engines.too_late", retry_after=1.0)
            if start:
                await asyncio.sleep(0)
            items = request.items[start : start + _SLICE]
            if self._pictures is None:
                part, took = self._answer(items, request.all_scores)
            else:
                loop = asyncio.get_running_loop()
                part, took = await loop.run_in_executor(
                    self._pictures, self._answer, items, request.all_scores
                )
            outputs += part
            seconds += took
        yield Chunk(outputs, Usage(inputs=len(outputs), engine_seconds=seconds))

    def most(self, request: EngineRequest) -> Mapping[str, int]:
        return {"inputs": len(request.items)}

    def warm_up(self) -> None:
        self.raw(self._task.example_items())

    def close(self) -> None:
        self._closed = True
        if self._pictures is not None:
            self._pictures.shutdown(wait=False)

    def _answer(self, items: Sequence[Item], all_scores: bool) -> tuple[list[Output], float]:
        start = perf_counter()
        outputs = self._decode(self.raw(items), all_scores)
        took = perf_counter() - start
        self._count(len(items), took)
        return outputs, took

    def _count(self, inputs: int, seconds: float) -> None:
        with self._lock:
            known = self._usage
            self._usage = Usage(
                inputs=known.inputs + inputs, engine_seconds=known.engine_seconds + seconds
            )
