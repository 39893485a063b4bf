"""The instant stage of search: BM25 over terms, answered without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines._index import length, terms
from feilun.engines._inline import InlineEngine
from feilun.engines._search import Catalogue, ranked_texts
from feilun.engines.card import Card
from feilun.types import EngineRequest, Item, Output, Usage

__all__ = ["FORMATS", "Bm25Engine", "load"]

FORMATS = ("bm25",)

_MANY = 20_000  # documents from which a query takes milliseconds


class Bm25Engine(InlineEngine):
    """Answers from a `bm25` version."""

    name = "bm25"

    def __init__(self, folder: Path, card: Card) -> None:
        self._catalogue = Catalogue.read(folder)
        super().__init__(card, slow=len(self._catalogue.documents) > _MANY)

    @property
    def info(self) -> Mapping[str, Any]:
        return {**super().info, "searches": True, "documents": len(self._catalogue.documents)}

    @property
    def documents(self) -> Sequence[str]:
        """See `Searches`."""
        return self._catalogue.documents

    def search_over(self, documents: Sequence[str]) -> None:
        """See `Searches`; nothing is learnt but how rare terms are, and that anew."""
        self._catalogue = Catalogue.of(list(documents))

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        return self._found(EngineRequest(items))

    def outputs(self, request: EngineRequest) -> list[Output]:
        return self._decode(self._found(request), request.all_scores)

    def counted(self, request: EngineRequest) -> Usage:
        texts = [str(item) for item in request.items]
        documents = request.options.get("documents", ())
        units = {"documents": len(documents)} if documents else {}
        tokens = sum(map(length, texts)) + len(texts) * sum(map(length, documents))
        return Usage(inputs=len(texts), tokens=tokens, units=units)

    def _found(self, request: EngineRequest) -> np.ndarray:
        documents = request.options.get("documents")
        read = [terms(document) for document in documents or ()]
        found = np.empty(len(request.items), dtype=object)
        for place, item in enumerate(request.items):
            if documents is None:
                nearest = self._catalogue.nearest(str(item), request.options)
                found[place] = self._catalogue.shown(*nearest, request.options)
            else:
                scores = self._catalogue.index.scores(terms(str(item)), read)
                found[place] = ranked_texts(documents, scores)
        return found


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> Bm25Engine:
    """Opens a `bm25` version; it answers in its caller's thread, so it takes no streams."""
    return Bm25Engine(folder, card)
