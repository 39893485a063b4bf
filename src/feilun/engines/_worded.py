"""Engines that have the whole answer at once, and give it out word by word."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

from feilun.engines._streaming import StreamingEngine
from feilun.messages import t
from feilun.modalities.text import sequence
from feilun.types import Item, Output

__all__ = ["WordedEngine", "unanswered"]

_HAN = re.compile("[\u3400-\u9fff]")


def unanswered(question: str, otherwise: str) -> str:
    """What is said where no answer is known: `otherwise`, else a sentence in the language of the
    question."""
    return otherwise or t("engines.no_answer", "zh" if _HAN.search(question) else "en")


class WordedEngine(StreamingEngine):
    """An engine that has `raw` alone. A token is a word or a sign, and a character of a script
    without spaces. It has one answer to an input, whatever is asked of the drawing of it."""

    OPTIONS = frozenset({"temperature", "top_p", "seed"})

    async def write(self, item: Item, options: Mapping[str, Any]) -> AsyncGenerator[str | Output]:
        if self._aside is None:
            raw = self.raw([item])
        else:
            raw = await asyncio.get_running_loop().run_in_executor(self._aside, self.raw, [item])
        output = self._decode(raw, True)[0]
        for piece in self._pieces(self._task.family.text(output)):
            yield piece
        yield output

    def _pieces(self, text: str) -> Iterator[str]:
        begin = 0
        ends = [end for _, end in sequence.tokens(text)]
        for end in [*ends[:-1], len(text)]:
            yield text[begin:end]
            begin = end

    def clipped(self, text: str) -> str:
        """`text`, no more than its first `longest` tokens."""
        if len(text) <= self.longest:
            return text
        found = sequence.tokens(text)
        return text if len(found) <= self.longest else text[: found[self.longest - 1][1]]

    def count(self, text: str) -> int:
        return len(sequence.tokens(text)) or 1
