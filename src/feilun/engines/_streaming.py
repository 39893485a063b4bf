"""Engines that write their answers token by token, and may be stopped after each."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from time import monotonic, perf_counter
from typing import Any

from feilun.engines._inline import InlineEngine, added
from feilun.engines.card import Card
from feilun.errors import EnvironmentProblem, Overloaded
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = ["MAX_TOKENS", "StreamingEngine"]

MAX_TOKENS = 1024
"""Tokens of an answer whose caller names no ``max_tokens``."""


class StreamingEngine(InlineEngine):
    """An engine that has `raw`, for many rows at once, and `write` and `count`, for one caller.
    `raw` gives what `write` gives, `longest` tokens of it. Usage has the units ``tokens_in`` and
    ``tokens_out``."""

    longest = MAX_TOKENS
    """Tokens of its longest answer."""

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        self._writing = self._written = 0

    @property
    def info(self) -> Mapping[str, Any]:
        # Which token is being made. A client that reads slowly is no engine that hangs.
        return {**super().info, "oldest": self._written if self._writing else None}

    @abstractmethod
    def write(self, item: Item, options: Mapping[str, Any]) -> AsyncGenerator[str | Output]:
        """The text of each token of the answer to `item`; after the last one the whole answer. When
        the iterator is closed nothing more is computed."""

    @abstractmethod
    def count(self, text: str) -> int:
        """The tokens of a text."""

    def asked(self, item: Item) -> int:
        """The tokens that are read to answer `item`."""
        return self.count(str(item))

    def most(self, request: EngineRequest) -> Mapping[str, int]:
        limit = self._limit(request.options)
        return {
            "inputs": len(request.items),
            "tokens_in": sum(self.asked(item) for item in request.items),
            "tokens_out": limit * len(request.items),
        }

    async def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        if self._closed:
            raise EnvironmentProblem("engines.closed")
        outputs: list[Output] = []
        told = Usage(units={"tokens_in": 0, "tokens_out": 0})
        for index, item in enumerate(request.items):
            before = told
            async with aclosing(self._one(index, item, request)) as chunks:
                async for chunk in chunks:
                    assert chunk.usage is not None
                    told = added(before, chunk.usage)
                    if chunk.outputs:
                        outputs += chunk.outputs
                    elif request.stream:
                        yield Chunk(index=index, delta=chunk.delta, usage=told)
            seconds = told.engine_seconds - before.engine_seconds
            self._count(Usage(inputs=1, engine_seconds=seconds))
        yield Chunk(outputs, told, final=True)

    async def _one(self, index: int, item: Item, request: EngineRequest) -> AsyncGenerator[Chunk]:
        """The tokens of one answer, then the answer."""
        limit = self._limit(request.options)
        asked, written, seconds, text = self.asked(item), 0, 0.0, ""
        output: Output = {}
        async with aclosing(self.write(item, request.options)) as pieces:
            while True:
                start = perf_counter()
                self._writing += 1
                try:
                    piece = await anext(pieces)
                finally:
                    self._writing -= 1
                    self._written += 1
                seconds += perf_counter() - start
                if isinstance(piece, dict):
                    output = piece
                    break
                if written == limit:
                    output = {**self._task.family.cut(text), "finish_reason": "length"}
                    break
                if request.deadline is not None and monotonic() > request.deadline:
                    raise Overloaded("engines.too_late", retry_after=1.0)
                text, written = text + piece, written + 1
                yield Chunk(index=index, delta=piece, usage=_usage(0, asked, written, seconds))
                await asyncio.sleep(0)  # whoever was cancelled meanwhile goes now
        yield Chunk([output], _usage(1, asked, written, seconds), index=index, final=True)

    def _limit(self, options: Mapping[str, Any]) -> int:
        wanted = options.get("max_tokens")
        return self.longest if wanted is None else min(self.longest, int(wanted))


def _usage(inputs: int, asked: int, written: int, seconds: float) -> Usage:
    units = {"tokens_in": asked, "tokens_out": written}
    return Usage(inputs=inputs, engine_seconds=seconds, units=units)
