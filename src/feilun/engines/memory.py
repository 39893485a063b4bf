"""The answer whose questions, and whose own words, are nearest to what is asked; answered inline.

An answer is one document: all that was asked for it in the training rows, and the answer itself.
BM25 says how much of what is asked stands in it, weighed by how rare the words are: from 0 to 1,
and 1 for a question that is known as it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from feilun.engines._index import Documents, Index, best, terms
from feilun.engines._worded import WordedEngine, unanswered
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact
from feilun.families.generation import Written, objects
from feilun.modalities.language import conversations
from feilun.types import Item

__all__ = ["ANSWERS", "FORMATS", "PLACES", "QUESTIONS", "MemoryEngine", "load"]

FORMATS = ("memory",)
QUESTIONS = "questions.arrow"
ANSWERS = "answers.arrow"
PLACES = "places.safetensors"
"""Which answer each question has, int32."""

_WORD = re.compile(r"\w+")


class MemoryEngine(WordedEngine):
    """Answers from a `memory` version."""

    name = "memory"

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        self._index = Index.read(folder)
        self._answers = Documents(folder / ANSWERS)
        questions, places = Documents(folder / QUESTIONS), _places(folder / PLACES)
        if self._index.size != len(self._answers) or len(questions) != len(places):
            raise CorruptArtifact("engines.bad_weights", file=folder / ANSWERS, reason="rows")
        known = zip(map(_plain, questions), places.tolist(), strict=True)
        self._known = {question: place for question, place in known if question}
        self._otherwise = str(card.schema.settings.get("no_answer", ""))
        unknown = (unanswered(asked, self._otherwise) for asked in ("?", "？好"))
        said = (self.count(text) for text in (*self._answers, *unknown))
        self.longest = max(said, default=1)

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        return objects([self._nearest(conversations.question(str(item))) for item in items])

    def asked(self, item: Item) -> int:
        return sum(self.count(one.content) for one in conversations.messages_of(str(item)))

    def _nearest(self, question: str) -> Written:
        otherwise = unanswered(question, self._otherwise)
        known = self._known.get(_plain(question))
        if known is not None:
            return Written(self._answers[known], 1.0, otherwise)
        scores = self._index.search(terms(question))
        nearest = best(scores, 1)
        if not len(nearest):
            return Written(otherwise, 0.0, otherwise)
        place = int(nearest[0])
        return Written(self._answers[place], min(1.0, float(scores[place])), otherwise)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> MemoryEngine:
    """Opens a `memory` version; it answers in its caller's thread, so it takes no streams."""
    return MemoryEngine(folder, card)


def _places(file: Path) -> np.ndarray:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(file)["places"]
    except (OSError, KeyError, SafetensorError) as error:
        raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None


def _plain(question: str) -> str:
    """A question but for case, width, punctuation and space."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", question).casefold()))
