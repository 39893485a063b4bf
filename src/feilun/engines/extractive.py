"""Summaries of a document's own sentences; answered inline.

Which sentences, one of three rankings says: ``lead``, the first ones; ``centroid``, those nearest
to the document as a whole (Radev et al., 2004); ``textrank``, those that many others are like
(Mihalcea and Tarau, 2004; the likeness is the cosine of weighed words). They stand in the order of
the document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from feilun.engines._index import terms
from feilun.engines._worded import WordedEngine
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact
from feilun.families.generation import Written, objects
from feilun.modalities.text.sentences import join, sentences
from feilun.types import Item

__all__ = ["FORMATS", "RANKINGS", "ExtractiveEngine", "Ranking", "load", "order"]

FORMATS = ("extractive",)

Ranking = Literal["lead", "centroid", "textrank"]
RANKINGS: tuple[Ranking, ...] = ("lead", "centroid", "textrank")

_MOST = 200
"""Sentences of a document that are ranked; its beginning says what it is about."""
_DAMPING = 0.85
_ROUNDS = 30


class ExtractiveEngine(WordedEngine):
    """Answers from an `extractive` version: a ranking, and how many sentences."""

    name = "extractive"
    longest = 4096

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        config: Mapping[str, Any] = card.config
        try:
            self._ranking, self._count_of = str(config["ranking"]), int(config["sentences"])
        except (KeyError, ValueError) as error:
            raise CorruptArtifact("engines.bad_weights", file=folder, reason=repr(error)) from None

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        return objects([Written(self.clipped(self._summary(str(item)))) for item in items])

    def _summary(self, text: str) -> str:
        found = sentences(text)
        chosen = sorted(order(found, self._ranking)[: self._count_of])
        return join([found[place] for place in chosen])


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> ExtractiveEngine:
    """Opens an `extractive` version; it answers in its caller's thread, so it takes no streams."""
    return ExtractiveEngine(folder, card)


def order(found: Sequence[str], ranking: str) -> list[int]:
    """The places of the sentences, the best one first."""
    count = min(len(found), _MOST)
    if ranking == "lead" or count < 2:
        return list(range(count))
    rows = _vectors(found[:count])
    if ranking == "centroid":
        scores = rows @ rows.mean(axis=0)
    else:
        alike = rows @ rows.T
        np.fill_diagonal(alike, 0)
        total = alike.sum(axis=1, keepdims=True)
        moves = np.divide(alike, total, out=np.full_like(alike, 1 / count), where=total > 0)
        scores = np.full(count, 1 / count)
        for _ in range(_ROUNDS):
            scores = (1 - _DAMPING) / count + _DAMPING * (scores @ moves)
    places: list[int] = np.argsort(-scores, kind="stable").tolist()
    return places


def _vectors(found: Sequence[str]) -> np.ndarray:
    """Words of each sentence, weighed by how few sentences have them, of length 1."""
    counts = [Counter(terms(one)) for one in found]
    having = Counter(term for one in counts for term in one)
    places = {term: place for place, term in enumerate(having)}
    rows = np.zeros((len(found), max(1, len(places))))
    for row, one in zip(rows, counts, strict=True):
        for term, times in one.items():
            row[places[term]] = times * np.log1p(len(found) / having[term])
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return unit
