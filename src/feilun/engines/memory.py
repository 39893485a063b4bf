"""The answer whose questions, and whose own words, are nearest to what is asked; answered inline.

An answer is one document: all that was asked for it in the training rows, and the answer itself.
BM25 says how much of what is asked stands in it, weighed by how rare the words are: from 0 to 1,
and 1 for a question that is known as it is. Where a version has an encoder, a `dense` version in
the folder ``search`` finds these documents by what they mean, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines._index import Documents, Index, best, terms
from feilun.engines._worded import WordedEngine, unanswered
from feilun.engines.base import Engine, open_engine
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact
from feilun.families.generation import Written, objects
from feilun.modalities.language import conversations
from feilun.types import Item

__all__ = [
    "ANSWERS",
    "FORMATS",
    "PLACES",
    "QUESTIONS",
    "SEARCH",
    "MemoryEngine",
    "document",
    "load",
]

FORMATS = ("memory",)
QUESTIONS = "questions.arrow"
ANSWERS = "answers.arrow"
PLACES = "places.safetensors"
"""Which answer each question has, int32."""
SEARCH = "search"
"""The folder of a version by which documents are found, where terms alone do not find them."""

_WORD = re.compile(r"\w+")


class MemoryEngine(WordedEngine):
    """Answers from a `memory` version."""

    name = "memory"

    def __init__(self, folder: Path, card: Card, search: Engine | None = None) -> None:
        super().__init__(card, slow=search is not None)
        self._search = search
        self._index = Index.read(folder)
        self._answers = Documents(folder / ANSWERS)
        questions, places = Documents(folder / QUESTIONS), _places(folder / PLACES)
        if self._index.size != len(self._answers) or len(questions) != len(places):
            raise CorruptArtifact("engines.bad_weights", file=folder / ANSWERS, reason="rows")
        known = zip(map(_plain, questions), places.tolist(), strict=True)
        self._known = {question: place for question, place in known if question}
        self._of_document: dict[str, int] = {}
        if search is not None:
            asked: list[list[str]] = [[] for _ in self._answers]
            for question, place in zip(questions, places.tolist(), strict=True):
                asked[place].append(question)
            both = zip(self._answers, asked, strict=True)
            self._of_document = {document(*one): place for place, one in enumerate(both)}
        self._otherwise = str(card.schema.settings.get("no_answer", ""))
        unknown = (unanswered(asked, self._otherwise) for asked in ("?", "？好"))
        said = (self.count(text) for text in (*self._answers, *unknown))
        self.longest = max(said, default=1)

    @property
    def info(self) -> Mapping[str, Any]:
        search = {} if self._search is None else {"threads": self._search.info["threads"]}
        return {**super().info, **search}

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        asked = [conversations.question(str(item)) for item in items]
        if self._search is None:
            return objects([self._told(one, *self._nearest(one)) for one in asked])
        found = self._search.raw(asked)
        nearest = [(self._of_document[one.items[0]], one.scores[0]) for one in found]
        return objects([self._told(one, *near) for one, near in zip(asked, nearest, strict=True)])

    def close(self) -> None:
        super().close()
        if self._search is not None:
            self._search.close()

    def asked(self, item: Item) -> int:
        return sum(self.count(one.content) for one in conversations.messages_of(str(item)))

    def _nearest(self, question: str) -> tuple[int | None, float]:
        """The place of the answer whose document fits a question best, and how well."""
        scores = self._index.search(terms(question))
        nearest = best(scores, 1)
        return (int(nearest[0]), float(scores[nearest[0]])) if len(nearest) else (None, 0.0)

    def _told(self, question: str, nearest: int | None, score: float) -> Written:
        otherwise = unanswered(question, self._otherwise)
        known = self._known.get(_plain(question))
        if known is not None:
            return Written(self._answers[known], 1.0, otherwise)
        if nearest is None:
            return Written(otherwise, 0.0, otherwise)
        return Written(self._answers[nearest], min(1.0, max(0.0, score)), otherwise)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> MemoryEngine:
    """Opens a `memory` version; without an encoder it answers in its caller's thread, and takes no
    streams."""
    inner = folder / SEARCH
    search = open_engine(inner, streams=streams, threads=threads) if inner.is_dir() else None
    return MemoryEngine(folder, card, search)


def document(answer: str, questions: Sequence[str]) -> str:
    """What an answer is found by."""
    return "\n".join([*questions, answer])


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
