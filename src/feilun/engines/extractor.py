"""Fields of a text, each read by itself, answered inline: as a record, or as the JSON text that a
conversation's answers were (`_extract` says what the folder holds).

A text is answered where the JSON is sure to be what was wanted: how sure it is, is the product of
the probabilities of its shape and of all its fields.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from feilun.engines._extract import Asked, Extractor, Shape, Taken
from feilun.engines._inline import InlineEngine
from feilun.engines._schema import mismatched
from feilun.engines._worded import WordedEngine
from feilun.engines.card import Card
from feilun.families._record_cells import nested
from feilun.families.generation import Written, objects
from feilun.families.records import Field
from feilun.modalities.language import conversations
from feilun.tasks import base as tasks
from feilun.types import Item, Output

__all__ = ["FORMATS", "ExtractorEngine", "JsonEngine", "asked_of", "load"]

FORMATS = ("extractor",)


def asked_of(item: Item, converses: bool) -> Asked:
    """What is read of an input: of a conversation the last question, under the instruction that
    stands before it."""
    text = str(item)
    if not converses:
        return Asked(text, text)
    messages = conversations.messages_of(text)
    told = "\n".join(one.content for one in messages if one.role == "system")
    digest = blake2b(told.encode("utf-8", "replace"), digest_size=8).hexdigest() if told else ""
    whole = "\n".join(one.content for one in messages)
    return Asked(conversations.question(text), whole, digest)


class ExtractorEngine(InlineEngine):
    """Answers with records."""

    name = "extractor"

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        self._extractor = Extractor(folder)

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        return objects([self._fields(one) for one in _read(self._extractor, items, False)])

    def _fields(self, taken: Taken) -> list[Field]:
        """One for each field of the schema, none surer than that the text asks for them at all."""
        known = {one.path: one for one in taken.fields}
        found = [known.get(path, Field(path, None, 1.0)) for path in self.card.schema.labels]
        return [one._replace(score=min(one.score, taken.likely)) for one in found]


class JsonEngine(WordedEngine):
    """Answers conversations with JSON texts, laid out as the answers were that it learnt from."""

    name = "extractor"
    OPTIONS: ClassVar[frozenset[str]] = WordedEngine.OPTIONS | {"response_format"}

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        self._extractor = Extractor(folder)

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        taken = _read(self._extractor, items, self._task.family.converses)
        return objects([self._answer_of(item, one) for item, one in zip(items, taken, strict=True)])

    async def write(self, item: Item, options: Mapping[str, Any]) -> AsyncGenerator[str | Output]:
        """An answer that does not fit the ``response_format`` is none: it says that it is not sure
        at all, so that whoever comes next is asked."""
        form = options.get("response_format")
        if form is None:
            async for piece in super().write(item, options):
                yield piece
            return
        (taken,) = _read(self._extractor, [item], self._task.family.converses)
        one, fits = self._answer_of(item, taken, bare=True), True
        if not _fits(one.text, taken, form):
            one, fits = Written(one.otherwise, 0.0, one.otherwise), False
        for piece in self._pieces(one.text):
            yield piece
        output = self._decode(objects([one]), True)[0]
        yield output if fits else {**output, "abstained": True}

    def asked(self, item: Item) -> int:
        return sum(self.count(one.content) for one in conversations.messages_of(str(item)))

    def _answer_of(self, item: Item, taken: Taken, bare: bool = False) -> Written:
        otherwise = self._task.unanswered(item, self.card.schema.settings)
        if taken.shape is None:
            return Written(otherwise, 0.0, otherwise)
        sure = math.prod([taken.likely, *(one.score for one in taken.fields)])
        return Written(taken.shape.form.write(_record(taken.shape, taken), bare), sure, otherwise)


def load(
    folder: Path, card: Card, *, streams: int | None, threads: int | None
) -> ExtractorEngine | JsonEngine:
    """Opens a version; it answers in its caller's thread, so it takes no streams."""
    if tasks.of(card.schema).family.streams:
        return JsonEngine(folder, card)
    return ExtractorEngine(folder, card)


def _read(extractor: Extractor, items: Sequence[Item], converses: bool) -> list[Taken]:
    return extractor.read([asked_of(item, converses) for item in items])


def _record(shape: Shape, taken: Taken) -> dict[str, Any]:
    """The record as answers of this shape have it: with what stands where there is nothing."""
    found = {}
    for model, one in zip(shape.fields, taken.fields, strict=True):
        if one.value is not None:
            found[one.path] = one.value
        elif not model.optional:
            found[one.path] = model.empty
    return nested(found)


def _fits(text: str, taken: Taken, form: Mapping[str, Any]) -> bool:
    """Whether an answer is one that the caller's ``response_format`` allows and the other server
    would have given: a property of its schema that the answer lacks might be what is new in it."""
    if taken.shape is None:
        return False
    schema = (form.get("json_schema") or {}).get("schema")
    if mismatched(text, schema) is not None:
        return False
    wanted = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    return set(wanted) <= {one.path.partition(".")[0] for one in taken.shape.fields}
