"""Labels and entities written by a language model as JSON of a schema, which its grammar enforces:
nothing is trained. Examples of the training rows stand in the prompt, those nearest to the text by
BM25, the nearest one last.

A version is ``model.gguf``, the model's tokenizer and template, and, where there are examples, an
index of them. The card's ``config`` has the prompt and how many. What is no JSON, because it was
cut off, says nothing: all labels are then equally likely, and no entity is found.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from feilun.engines._index import Documents, Index, best, terms
from feilun.engines._prompts import fill
from feilun.engines._writer import WritingEngine, tokens_of
from feilun.engines.card import Card
from feilun.engines.genai import ANSWERS, QUESTIONS
from feilun.errors import CorruptArtifact
from feilun.modalities.language.conversations import Message
from feilun.tasks import base as tasks
from feilun.types import Item

__all__ = ["CONVERTS", "FORMATS", "PROMPTS", "FewShotEngine", "load"]

FORMATS = ("few-shot",)
CONVERTS = False

PROMPTS = {
    "en": "Read the text and reply with JSON of this schema, and nothing else:\n{schema}\n"
    "The labels are: {labels}.\n\n{examples}Text: {text}\nJSON:",
    "zh": "阅读文本，只回复符合以下模式的 JSON：\n{schema}\n标签有：{labels}。\n\n"
    "{examples}Text: {text}\nJSON:",
}


class FewShotEngine(WritingEngine):
    """Answers from a `few-shot` version."""

    name = "few-shot"
    longest = 128
    prompts = PROMPTS

    def __init__(self, folder: Path, card: Card, threads: int | None) -> None:
        self._labels = card.schema.labels
        self._schema = tasks.of(card.schema).family.json_schema(self._labels)
        if self._schema is None:
            raise CorruptArtifact("engines.bad_card", folder=folder, reason=card.schema.task)
        super().__init__(folder, card, threads)
        self._shots = int(card.config.get("shots", 0))
        if self._shots:
            self._index = Index.read(folder)
            self._texts = Documents(folder / QUESTIONS)
            self._answers = Documents(folder / ANSWERS)

    def _read(self, items: Sequence[Item]) -> tuple[np.ndarray, dict[str, int]]:
        """The raw outputs, and the tokens that the model read and wrote for them."""
        family = self._task.family
        asked = [self._prompt(str(item)) for item in items]
        wrote = self._writer.write(asked, self._longest, self._schema)
        rows = []
        for item, one in zip(items, wrote, strict=True):
            try:
                value = json.loads(one.text)
            except (ValueError, RecursionError):
                value = None
            rows.append(family.json_raw(value, item, self._labels, one.probability))
        if self._width:
            found: np.ndarray = np.zeros((len(items), self._width), np.float32)
        else:
            found = np.empty(len(items), dtype=object)
        for place, row in enumerate(rows):
            found[place] = row
        return found, tokens_of(wrote)

    def _prompt(self, text: str) -> list[int]:
        """The tokens of the prompt, with as many examples, and then as much of the text, as there
        is room for."""
        prompt = self._told_of(text)
        shots = self._near(text)
        while True:
            values = {
                "schema": json.dumps(self._schema, ensure_ascii=False),
                "labels": ", ".join(self._labels),
                "examples": "".join(f"Text: {one}\nJSON: {said}\n\n" for one, said in shots),
                "text": text,
            }
            ids = self._writer.ids([Message("user", fill(prompt, values))])
            if len(ids) + self._longest <= self._writer.context or not (shots or text):
                return ids
            if shots:
                shots = shots[1:]
            else:
                text = text[: len(text) // 2]

    def _near(self, text: str) -> list[tuple[str, str]]:
        """The examples, the nearest one last."""
        if not self._shots:
            return []
        places = best(self._index.search(terms(text)), self._shots)[::-1].tolist()
        return [(self._texts[place], self._answers[place]) for place in places]


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> FewShotEngine:
    """Opens a version, and the model in a process of its own."""
    engine = FewShotEngine(folder, card, threads)
    engine.start()
    return engine
