"""Conditional random fields over the tokens of a text, answered inline.

``model.crfsuite`` is a model of CRFsuite in its own format; its tags are the kinds of spans as
``B-``, ``I-``, ``E-`` and ``S-``, and ``O``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines._inline import InlineEngine
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact, EnvironmentProblem
from feilun.families.spans import Found
from feilun.modalities.text import sequence
from feilun.types import Item

__all__ = ["FORMATS", "MODEL", "CrfEngine", "crfsuite", "load", "tagger"]

FORMATS = ("crf",)
MODEL = "model.crfsuite"


def crfsuite() -> Any:
    """The package, which is imported when it is needed. Raises `EnvironmentProblem` without it."""
    try:
        import pycrfsuite as package
    except (ImportError, OSError) as error:
        raise EnvironmentProblem("engines.no_crfsuite", reason=str(error)) from None
    return package


class CrfEngine(InlineEngine):
    """Answers from a `crf` version."""

    name = "crf"

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        self._tagger = tagger(folder / MODEL)
        self._turn = threading.Lock()  # a tagger holds one text at a time

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        found = np.empty(len(items), dtype=object)
        for place, item in enumerate(items):
            found[place] = self._found(str(item))
        return found

    def _found(self, text: str) -> list[Found]:
        tokens = sequence.tokens(text)
        if not tokens:
            return []
        seen = sequence.features(text, tokens)
        with self._turn:
            self._tagger.set(seen)
            tags = self._tagger.tag()
            spans = sequence.spans_of(tokens, tags)
            scores = [
                min(self._tagger.marginal(tags[place], place) for place in places)
                for *_, places in spans
            ]
        return [
            Found(start, end, label, min(1.0, max(0.0, score)), text[start:end])
            for (start, end, label, _), score in zip(spans, scores, strict=True)
        ]


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> CrfEngine:
    """Opens a `crf` version; it answers in its caller's thread, so it takes no streams."""
    return CrfEngine(folder, card)


def tagger(file: Path) -> Any:
    """The model of CRFsuite in `file`. Raises `CorruptArtifact` for what is none."""
    try:
        if file.read_bytes()[:4] != b"lCRF":  # which CRFsuite itself does not look at
            raise CorruptArtifact("engines.bad_weights", file=file, reason="lCRF")
        opened = crfsuite().Tagger()
        opened.open(str(file))
    except (OSError, ValueError) as error:
        raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
    return opened
