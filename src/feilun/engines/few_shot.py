"""Labels and entities written by a language model as JSON of a schema, which its grammar enforces:
nothing is trained. Examples of the training rows stand in the prompt, those nearest to the text by
BM25, the nearest one last.

A version is ``model.gguf``, the model's tokenizer and template, and, where there are examples, an
index of them. The card's ``config`` has the prompt and how many. What is no JSON, because it was
cut off, says nothing: all labels are then equally likely, and no entity is found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from feilun.engines._index import Documents, Index, best, length, terms
from feilun.engines._inline import InlineEngine
from feilun.engines._prompts import fill
from feilun.engines._writer import Writer
from feilun.engines.card import Card
from feilun.engines.genai import ANSWERS, QUESTIONS
from feilun.errors import CorruptArtifact
from feilun.modalities.language.conversations import Message
from feilun.types import EngineRequest, Item, Output, Usage

__all__ = ["CONVERTS", "FORMATS", "PROMPTS", "FewShotEngine", "load"]

FORMATS = ("few-shot",)
CONVERTS = False

PROMPTS = {
    "en": "Read the text and reply with JSON of this schema, and nothing else:\n{schema}\n"
    "The labels are: {labels}.\n\n{examples}Text: {text}\nJSON:",
    "zh": "阅读文本，只回复符合以下模式的 JSON：\n{schema}\n标签有：{labels}。\n\n"
    "{examples}Text: {text}\nJSON:",
}
_HAN = re.compile("[\u3400-\u9fff]")


class FewShotEngine(InlineEngine):
    """Answers from a `few-shot` version."""

    name = "few-shot"

    def __init__(self, folder: Path, card: Card, threads: int | None) -> None:
        super().__init__(card, slow=True)
        self._labels = card.schema.labels
        self._schema = self._task.family.json_schema(self._labels)
        if self._schema is None:
            raise CorruptArtifact("engines.bad_card", folder=folder, reason=card.schema.task)
        self._writer = Writer(folder, card, threads)
        # Threads only wait here: all answers are written together, in another process.
        self._aside = ThreadPoolExecutor(self._writer.sequences, "feilun-few-shot")
        self._told = str(card.config.get("prompt", ""))
        self._longest = int(card.config.get("max_tokens", 128))
        self._shots = int(card.config.get("shots", 0))
        if self._shots:
            self._index = Index.read(folder)
            self._texts = Documents(folder / QUESTIONS)
            self._answers = Documents(folder / ANSWERS)

    @property
    def info(self) -> Mapping[str, Any]:
        return {
            **super().info,
            "batch": self._writer.sequences,
            "streams": self._writer.sequences,
            "costly": True,
            "waiting": self._writer.waiting,
            "oldest": self._writer.steps,
        }

    def start(self) -> None:
        """Opens the model."""
        self._writer.start()

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        return self._read(items)[0]

    def warm_up(self) -> None:
        self.raw(self._task.example_items()[:1])

    def most(self, request: EngineRequest) -> Mapping[str, int]:
        count = len(request.items)
        read = count * (self._writer.context - 1)
        return {"inputs": count, "tokens_in": read, "tokens_out": count * self._longest}

    def close(self) -> None:
        super().close()
        self._writer.close()

    def abandon(self) -> None:
        """Gives up on a model that hangs: every call under way fails."""
        self._writer.abandon()

    def _answer(self, request: EngineRequest) -> tuple[list[Output], Usage]:
        start = perf_counter()
        raw, units = self._read(request.items)
        outputs = self._decode(raw, request.all_scores)
        tokens = sum(length(str(item)) for item in request.items)
        used = Usage(len(request.items), tokens, units=units)
        used = replace(used, engine_seconds=perf_counter() - start)
        self._count(used)
        return outputs, used

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
        units = {
            "tokens_in": sum(one.tokens_in for one in wrote),
            "tokens_out": sum(one.tokens_out for one in wrote),
        }
        return found, units

    def _prompt(self, text: str) -> list[int]:
        """The tokens of the prompt, with as many examples, and then as much of the text, as there
        is room for."""
        prompt = self._told or PROMPTS["zh" if _HAN.search(text) else "en"]
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
