"""What engines that search a catalogue have in common: the catalogue, and what a call may ask.

A call's options: ``k``, how many documents of the catalogue are shown; ``documents``, texts that
are ranked instead of those of the catalogue, all of which are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from feilun.engines._index import DOCUMENTS, Documents, Index, best, terms
from feilun.families.ranking import DEPTH, SHOWN, Ranked

__all__ = ["Catalogue", "Searches", "depth", "ranked_texts"]


@runtime_checkable
class Searches(Protocol):
    """An engine that searches a catalogue, which may be exchanged: versions whose catalogues differ
    are compared over one."""

    @property
    def documents(self) -> Sequence[str]:
        """What is searched."""
        ...

    def search_over(self, documents: Sequence[str]) -> None:
        """Searches `documents` from now on, by what it has learnt. Not while it answers calls."""
        ...


class Catalogue:
    """The documents of a version and their `index`."""

    def __init__(self, documents: Sequence[str], index: Index) -> None:
        self.documents = documents
        self.index = index

    @classmethod
    def of(cls, documents: Sequence[str]) -> Catalogue:
        """The catalogue of `documents`."""
        return cls(documents, Index.of(documents))

    @classmethod
    def read(cls, folder: Path) -> Catalogue:
        """The catalogue in `folder`. Raises `CorruptArtifact` where there is none."""
        return cls(Documents(folder / DOCUMENTS), Index.read(folder))

    def write(self, folder: Path) -> None:
        """Writes what `read` reads."""
        Documents.write(folder / DOCUMENTS, self.documents)
        self.index.write(folder)

    def lexical(self, query: str) -> np.ndarray:
        """The score of every document for a query by their terms, float32 (documents,)."""
        return self.index.search(terms(query))

    def nearest(
        self,
        query: str,
        options: Mapping[str, Any],
        base: np.ndarray | None = None,
        share: float = 1.0,
        least: float = 0.0,
        spare: int = 0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What `ranked` would show, and `spare` more, as places and scores: `share` of the scores
        by terms, added to `base` (documents,) where there is one; see `Index.nearest`."""
        most = depth(options) + spare
        return self.index.nearest(terms(query), most, base, share, least)

    def shown(self, places: np.ndarray, scores: np.ndarray, options: Mapping[str, Any]) -> Ranked:
        """Documents as an answer, the best first."""
        texts = [self.documents[place] for place in places.tolist()]
        shown = int(options.get("k", SHOWN))
        return Ranked(texts, scores.tolist(), total=len(self.documents), shown=shown)

    def ranked(self, scores: np.ndarray, options: Mapping[str, Any], least: float = 0.0) -> Ranked:
        """The documents with the highest `scores` (documents,) above `least`."""
        places = best(scores, depth(options), least)
        return self.shown(places, scores[places], options)


def ranked_texts(texts: Sequence[str], scores: np.ndarray) -> Ranked:
    """All `texts`, the best first, by their `scores`; equal ones in their order."""
    order = np.argsort(-scores, kind="stable")
    kept = [texts[place] for place in order.tolist()]
    return Ranked(kept, scores[order].tolist(), total=len(texts), shown=len(texts))


def depth(options: Mapping[str, Any]) -> int:
    """How many documents of the catalogue are looked out: those that the call wants to be shown,
    or as many as judging a version needs."""
    return int(options["k"]) if "k" in options else DEPTH
