"""Answers from documents without a model: BM25 finds passages, and the sentence that fits best is
the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines._index import length
from feilun.engines._inline import InlineEngine
from feilun.engines._library import Library
from feilun.engines.card import Card
from feilun.types import EngineRequest, Item, Usage

__all__ = ["FORMATS", "PassagesEngine", "load"]

FORMATS = ("passages",)

_MANY = 2_000  # passages from which a question takes many milliseconds


class PassagesEngine(InlineEngine):
    """Answers from a `passages` version."""

    name = "passages"

    def __init__(self, folder: Path, card: Card) -> None:
        self._library = Library.read(folder, card.schema.settings)
        super().__init__(card, slow=len(self._library.passages) > _MANY)

    @property
    def info(self) -> Mapping[str, Any]:
        return {**super().info, "passages": len(self._library.passages)}

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        found = np.empty(len(items), dtype=object)
        for place, item in enumerate(items):
            found[place] = self._library.read_for(str(item))
        return found

    def counted(self, request: EngineRequest) -> Usage:
        tokens = sum(length(str(item)) for item in request.items)
        return Usage(inputs=len(request.items), tokens=tokens)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> PassagesEngine:
    """Opens a `passages` version; it answers in its caller's thread, so it takes no streams."""
    return PassagesEngine(folder, card)
