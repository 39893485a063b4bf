"""The instant stage of language models: n-grams of bytes, answered inline and without torch."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from feilun.engines._bytes import END, ByteModel
from feilun.engines._streaming import StreamingEngine
from feilun.engines.card import Card
from feilun.families.likelihood import Read
from feilun.modalities.text.documents import Objective, hidden
from feilun.types import EngineRequest, Item, Output

__all__ = ["FORMATS", "NGramEngine", "load"]

FORMATS = ("ngrams",)

_TEMPERATURE = 0.7
_TOP_P = 0.95
"""How texts are continued where the caller does not say."""


class NGramEngine(StreamingEngine):
    """Answers from an `ngrams` version. A token is a character. It reads from left to right alone:
    what is hidden inside a text it predicts from what stands before."""

    name = "ngrams"
    longest = 100
    OPTIONS: ClassVar = frozenset({"temperature", "top_p", "seed"})

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        self._model = ByteModel.read(folder)
        self._objective: Objective = card.schema.settings.get("objective", "causal")

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        """How well each text is predicted; how it goes on is not computed."""
        found = np.empty(len(items), dtype=object)
        for place, item in enumerate(items):
            found[place] = self._read(str(item))
        return found

    def outputs(self, request: EngineRequest) -> list[Output]:
        raw = self.raw(request.items)
        for place, item in enumerate(request.items):
            limit, text = self._limit(request.options, self.asked(item)), ""
            for count, character in enumerate(self._characters(str(item), request.options), 1):
                text += character
                if count == limit:
                    break
            raw[place] = raw[place]._replace(text=text)
        return self._decode(raw, request.all_scores)

    async def write(self, item: Item, options: Mapping[str, Any]) -> AsyncGenerator[str | Output]:
        text = ""
        for character in self._characters(str(item), options):
            text += character
            yield character
        read = self._read(str(item))._replace(text=text)
        raw = np.empty(1, dtype=object)
        raw[0] = read
        yield self._decode(raw, True)[0]

    def count(self, text: str) -> int:
        return max(1, len(text))

    def _read(self, text: str) -> Read:
        nats = self._model.nats(text.encode("utf-8", "replace"))
        if self._objective == "causal":
            return Read(float(nats.sum()), len(nats) - 1)
        ends = np.cumsum([0, *(len(one.encode("utf-8", "replace")) for one in text)])
        spans = [(int(ends[a]), int(ends[b])) for a, b in hidden(text, self._objective)]
        return Read(
            float(sum(nats[begin:end].sum() for begin, end in spans)),
            sum(end - begin for begin, end in spans),
        )

    def _characters(self, text: str, options: Mapping[str, Any]) -> Iterator[str]:
        """How `text` goes on, until the document ends or `longest`."""
        heat = options.get("temperature")
        share = options.get("top_p")
        lots = np.random.default_rng(int(options.get("seed") or 0) % 2**63)
        heat = _TEMPERATURE if heat is None else float(heat)
        share = _TOP_P if share is None else float(share)
        written, character = text.encode("utf-8", "replace"), b""
        for _ in range(self.longest):
            while True:
                likely = self._model.following(written) * _allowed(character)
                byte = _drawn(likely, heat, share, lots)
                if byte == END:
                    return
                written += bytes([byte])
                character += bytes([byte])
                if len(character) == _length(character[0]):
                    break
            yield character.decode("utf-8")
            character = b""


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> NGramEngine:
    """Opens an `ngrams` version; it answers in its caller's thread, so it takes no streams."""
    return NGramEngine(folder, card)


def _drawn(likely: np.ndarray, heat: float, share: float, lots: np.random.Generator) -> int:
    """The likeliest byte without heat, else one drawn of the likeliest that make up `share`."""
    if heat <= 0:
        return int(likely.argmax())
    order = np.argsort(-likely, kind="stable")
    ranked = likely[order] / likely.sum()
    kept = int(np.searchsorted(np.cumsum(ranked), share)) + 1
    weights = ranked[:kept] ** (1 / heat)
    return int(order[lots.choice(len(weights), p=weights / weights.sum())])


def _length(first: int) -> int:
    """Bytes of a character of UTF-8, by its first one."""
    return 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


def _allowed(character: bytes) -> np.ndarray:
    """Which bytes may follow the begun `character` of UTF-8 (RFC 3629): bool (256,)."""
    bytes_ = np.arange(256)
    if not character:
        return np.asarray((bytes_ < 0x80) | ((bytes_ >= 0xC2) & (bytes_ <= 0xF4)) | (bytes_ == END))
    low, high = 0x80, 0xBF
    if len(character) == 1:
        low = {0xE0: 0xA0, 0xF0: 0x90}.get(character[0], low)
        high = {0xED: 0x9F, 0xF4: 0x8F}.get(character[0], high)
    return np.asarray((bytes_ >= low) & (bytes_ <= high))
