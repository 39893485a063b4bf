"""Engines that write their answers token by token, and may be stopped after each.

What a call may ask of how its answers are written stands in `EngineRequest.options`, under OpenAI's
names; what is not asked is absent. ``max_tokens``, ``stop`` (a list of texts) and ``n`` (how many
of the items are the same one) are done here, for all engines. The others are an engine's own, and
it says which of them it honours (`StreamingEngine.OPTIONS`): ``temperature``, ``top_p``, ``seed``,
``frequency_penalty``, ``presence_penalty``, ``logprobs`` (how many alternatives to each token),
``response_format``, and ``tools`` with ``tool_choice`` and ``parallel_tool_calls``.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any, ClassVar

from feilun.engines._inline import InlineEngine, added
from feilun.engines._screen import Piece, Screen, Token, ToolCall
from feilun.engines.card import Card
from feilun.errors import EnvironmentProblem, InvalidData, Overloaded
from feilun.store.ids import new_id
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = ["MAX_TOKENS", "StreamingEngine", "Token", "ToolCall"]

MAX_TOKENS = 1024
"""Tokens of an answer whose caller names no ``max_tokens``."""


class StreamingEngine(InlineEngine):
    """An engine that has `raw`, for many rows at once, and `write` and `count`, for one caller.
    `raw` gives what `write` gives, `longest` tokens of it. Usage has the units ``tokens_in`` and
    ``tokens_out``; of several answers to one prompt the prompt is read, and counted, once."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset()
    """The options that it honours, beside those of all such engines."""
    CALLS: ClassVar[tuple[str, str]] = ("<tool_call>", "</tool_call>")
    """What its model writes before and after the JSON of a tool call."""

    longest = MAX_TOKENS
    """Tokens of its longest answer."""
    context: int | None = None
    """Tokens of a prompt and its answer together, at most; None for any number."""

    def __init__(self, card: Card, *, slow: bool = False) -> None:
        super().__init__(card, slow=slow)
        self._writing = self._written = 0

    @property
    def info(self) -> Mapping[str, Any]:
        # Which token is being made. A client that reads slowly is no engine that hangs.
        oldest = self._written if self._writing else None
        return {**super().info, "oldest": oldest, "options": self.OPTIONS}

    @abstractmethod
    def write(
        self, item: Item, options: Mapping[str, Any]
    ) -> AsyncGenerator[str | Token | ToolCall | Output]:
        """Each token of the answer to `item`, as its text or, where ``logprobs`` are asked for, as
        a `Token`; after the last one the whole answer, whose ``usage`` (units by their names), if
        it has one, counts instead of what was counted here. An engine whose model has tool calls
        of another form than `CALLS` yields each as a `ToolCall`. When the iterator is closed
        nothing more is computed."""

    @abstractmethod
    def count(self, text: str) -> int:
        """The tokens of a text."""

    def asked(self, item: Item) -> int:
        """The tokens that are read to answer `item`."""
        return self.count(str(item))

    def most(self, request: EngineRequest) -> Mapping[str, int]:
        """Raises `InvalidData` for a prompt that leaves no room for an answer."""
        same = _same(request.options)
        read = [self.asked(item) for item in request.items[::same]]
        return {
            "inputs": len(request.items),
            "tokens_in": sum(read),
            "tokens_out": sum(self._limit(request.options, asked) for asked in read) * same,
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
                        yield _told(chunk, told)
            seconds = told.engine_seconds - before.engine_seconds
            self._count(Usage(inputs=1, engine_seconds=seconds))
        yield Chunk(outputs, told, final=True)

    async def _one(self, index: int, item: Item, request: EngineRequest) -> AsyncGenerator[Chunk]:
        """The tokens of one answer, then the answer."""
        options, place = request.options, index % _same(request.options)
        asked = self.asked(item)
        limit = self._limit(options, asked)
        if place and "seed" in options:  # else all answers to one prompt would be the same
            options = {**options, "seed": options["seed"] + place}
        answer = _Answer(self._screen(options), 0 if place else asked)
        output: Output | None = None
        written = 0
        async with aclosing(self.write(item, options)) as made:
            while output is None:
                start = perf_counter()
                self._writing += 1
                try:
                    one = await anext(made)
                finally:
                    self._writing -= 1
                    self._written += 1
                answer.seconds += perf_counter() - start
                if isinstance(one, dict):
                    pieces, output = answer.screen.end(), one
                elif written == limit:
                    pieces, output = answer.screen.end(), answer.ended("length")
                elif request.deadline is not None and monotonic() > request.deadline:
                    raise Overloaded("engines.too_late", retry_after=1.0)
                else:
                    written += 1
                    pieces = answer.add(one)
                    if answer.screen.stopped:
                        output = answer.ended("stop")
                for piece in pieces:
                    yield answer.chunk(index, piece)
                await asyncio.sleep(0)  # whoever was cancelled meanwhile goes now
        usage = output.pop("usage", None)
        whole = {**output, **self._added(answer, output)}
        yield Chunk([whole], answer.usage(1, usage), index=index, final=True)

    def _added(self, answer: _Answer, output: Output) -> Output:
        """What stands in the answer beside, or instead of, what the engine said itself."""
        text = "".join(answer.texts)
        more: Output = {}
        if answer.cut or answer.calls:
            more = self._task.family.cut(text)
        if answer.calls:
            more |= {"tool_calls": answer.calls}
            if output.get("finish_reason", "stop") == "stop":
                more["finish_reason"] = "tool_calls"
        return more | ({"logprobs": answer.logprobs} if answer.logprobs else {})

    def _screen(self, options: Mapping[str, Any]) -> Screen:
        tools = options.get("tools", ()) if options.get("tool_choice") != "none" else ()
        names = [one["function"]["name"] for one in tools]
        return Screen(options.get("stop", ()), names, self.CALLS)

    def _limit(self, options: Mapping[str, Any], asked: int) -> int:
        wanted = options.get("max_tokens")
        longest = self.longest
        if self.context is not None:
            if asked >= self.context:
                raise InvalidData("engines.prompt_too_long", tokens=asked, limit=self.context)
            longest = min(longest, self.context - asked)
        return longest if wanted is None else min(longest, int(wanted))


@dataclass(slots=True)
class _Answer:
    """One answer while it is written: what of it has left."""

    screen: Screen
    asked: int
    seconds: float = 0.0
    tokens: int = 0
    cut: bool = False
    texts: list[str] = field(default_factory=list)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    calls: list[Mapping[str, Any]] = field(default_factory=list)

    def ended(self, reason: str) -> Output:
        """What is known of an answer that ended before its engine said so."""
        self.cut = True
        return {"finish_reason": reason}

    def add(self, one: str | Token | ToolCall) -> list[Piece]:
        """What may leave when the engine has written `one`."""
        if isinstance(one, ToolCall):
            return [*self.screen.end(), Piece(tokens=1, calls=(one,))]
        return self.screen.add(one if isinstance(one, Token) else Token(one))

    def chunk(self, index: int, piece: Piece) -> Chunk:
        """`piece` as it leaves, and what has left so far."""
        calls = [_call(one) for one in piece.calls]
        self.tokens += piece.tokens
        self.texts.append(piece.text)
        self.logprobs += piece.logprobs
        self.calls += calls
        return Chunk(
            index=index,
            delta=piece.text,
            usage=self.usage(0),
            logprobs=piece.logprobs,
            calls=calls,
        )

    def usage(self, inputs: int, told: Mapping[str, int] | None = None) -> Usage:
        """What it has used; `told` are the counts of whoever wrote it for us."""
        units = {"tokens_in": self.asked, "tokens_out": self.tokens} if told is None else told
        return Usage(inputs=inputs, engine_seconds=self.seconds, units=dict(units))


def _call(call: ToolCall) -> Mapping[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": new_id("call_"), "type": "function", "function": function}


def _same(options: Mapping[str, Any]) -> int:
    return int(options.get("n", 1))


def _told(chunk: Chunk, usage: Usage) -> Chunk:
    return Chunk(
        index=chunk.index,
        delta=chunk.delta,
        usage=usage,
        logprobs=chunk.logprobs,
        calls=chunk.calls,
    )
