"""Another server chooses one of several labels: it is asked in words, and its answer is read.

The question is an instruction with the labels, and the text. What it answers is compared with the
labels but for case, width and punctuation; JSON with one text in it is taken, too. An answer that
names none of them is an error for who asked, and nothing is charged.
"""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from feilun.engines._inline import InlineEngine, added
from feilun.engines.card import Card
from feilun.errors import BadAnswer, EnvironmentProblem
from feilun.modalities.language import conversations
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = ["LabellingEngine"]

_INSTRUCTION = "Which of these labels fits the text? Answer with the label alone: {labels}"
_AT_ONCE = 8  # questions of an evaluation that are under way
_LONGEST = 64  # tokens of an answer
_SHOWN = 80
_WORDS = re.compile(r"[\W_]+")


class Chat(Protocol):
    """What it needs of `UpstreamEngine`."""

    @property
    def info(self) -> Mapping[str, Any]: ...

    def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]: ...

    async def leave(self) -> None: ...

    def close(self) -> None: ...


class LabellingEngine(InlineEngine):
    """Asks `chat`, another server, for labels of texts. It may know more labels than the schema:
    they are answered, too, and become labels of the next version."""

    name = "upstream"

    def __init__(self, card: Card, chat: Chat) -> None:
        super().__init__(card)
        self._chat = chat
        self._labels = tuple(card.extra.get("labels") or card.schema.labels)
        self._plain = {_plain(label): label for label in self._labels}
        wording = str(card.extra.get("instruction") or _INSTRUCTION)
        self._instruction = wording.replace(
            "{labels}", json.dumps(self._labels, ensure_ascii=False)
        )
        self._said: Callable[[Item], str | None] = lambda item: None

    @property
    def info(self) -> Mapping[str, Any]:
        there = self._chat.info
        more = {"streams": there["streams"], "costly": True, "remote": True, "device": "-"}
        return {**super().info, **more}

    def remember(self, said: Callable[[Item], str | None]) -> None:
        """See `UpstreamEngine.remember`."""
        self._said = said

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        """What the other server says as certain; what it says beyond the schema as nothing."""

        def ask(item: Item) -> str:
            return self._said(item) or asyncio.run(self._alone(item))

        with ThreadPoolExecutor(_AT_ONCE, "feilun-upstream") as pool:
            return np.stack([self._stated(label) for label in pool.map(ask, items)])

    def predict(self, items: Sequence[Item], all_scores: bool = False) -> list[Output]:
        return self._decode(self.raw(items), all_scores)

    async def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        if self._closed:
            raise EnvironmentProblem("engines.closed")
        start = perf_counter()
        asking = [asyncio.create_task(self._asked(item, request)) for item in request.items]
        try:
            found = await asyncio.gather(*asking)
        finally:
            for task in asking:
                task.cancel()
        used = Usage()
        for _, usage in found:
            used = added(used, usage)
        seconds = perf_counter() - start
        used = Usage(
            inputs=len(found),
            engine_seconds=seconds,
            upstream=used.upstream,
            upstream_seconds=seconds,
        )
        self._count(used)
        yield Chunk([self._output(label, request.all_scores) for label, _ in found], used)

    def warm_up(self) -> None:
        """Nothing: an answer may cost money."""

    def close(self) -> None:
        super().close()
        self._chat.close()

    async def _alone(self, item: Item) -> str:
        try:
            return (await self._asked(item))[0]
        finally:
            await self._chat.leave()

    async def _asked(self, item: Item, request: EngineRequest | None = None) -> tuple[str, Usage]:
        """The label that the other server names, and what that used."""
        messages = [
            conversations.Message("system", self._instruction),
            conversations.Message("user", str(item)),
        ]
        asked = EngineRequest(
            [conversations.write(messages)],
            deadline=request.deadline if request is not None else None,
            options={"temperature": 0.0, "max_tokens": _LONGEST},
        )
        text, usage = "", Usage()
        async for chunk in self._chat.submit(asked):
            if chunk.final:
                text, usage = str(chunk.outputs[0]["generated_text"]), chunk.usage or usage
        label = self._read(text)
        if label is None:
            raise BadAnswer(
                "engines.upstream_no_label", answer=text[:_SHOWN], options=list(self._labels)
            )
        return label, usage

    def _read(self, text: str) -> str | None:
        with suppress(ValueError):
            value = json.loads(text)
            texts = value.values() if isinstance(value, dict) else [value]
            (text,) = [one for one in texts if isinstance(one, str)] or [text]
        return self._plain.get(_plain(text))

    def _stated(self, label: str) -> np.ndarray:
        labels = self.card.schema.labels
        stated = self._task.family.asserted(label if label in labels else None, labels)
        assert stated is not None
        return stated

    def _output(self, label: str, all_scores: bool) -> Output:
        if label not in self.card.schema.labels:
            return {"label": label, "score": 1.0}
        return self._decode(self._stated(label)[None], all_scores)[0]


def _plain(text: str) -> str:
    return _WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
