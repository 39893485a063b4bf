"""What a language model reads to answer: instructions, examples that are near, the conversation, as
its chat template writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feilun.engines._index import Documents, Index, best, terms
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact
from feilun.modalities.language import conversations
from feilun.modalities.language.causal import PromptProcessor
from feilun.modalities.language.template import render
from feilun.types import Item

__all__ = ["ANSWERS", "QUESTIONS", "Asking"]

QUESTIONS = "questions.arrow"
ANSWERS = "answers.arrow"


class Asking:
    """The prompts of the version in `folder`, whose card may name a ``system_prompt`` and how many
    ``shots`` stand before each question."""

    def __init__(self, folder: Path, card: Card, processor: PromptProcessor) -> None:
        extra = card.extra
        self._processor = processor
        self._system = str(extra.get("system_prompt", ""))
        self._shots = _Shots(folder, int(extra["shots"])) if extra.get("shots") else None

    def text(self, item: Item, tools: Sequence[Mapping[str, Any]] | None = None) -> str:
        """The text that the model continues with its answer to `item`."""
        if not (self._system or self._shots or tools):
            return self._processor.prompt(item)
        messages = self._processor.messages(item)
        before = []
        if messages[0].role == "system":
            before.append(messages.pop(0))
        elif self._system:
            before.append(conversations.Message("system", self._system))
        if self._shots is not None:
            before += self._shots.near(messages[-1].content)
        template = self._processor.template
        return render([*before, *messages], template, ask=True, tools=tools)


class _Shots:
    """The `most` examples that are nearest to a question, the nearest one last."""

    def __init__(self, folder: Path, most: int) -> None:
        self._most = most
        self._index = Index.read(folder)
        self._questions = Documents(folder / QUESTIONS)
        self._answers = Documents(folder / ANSWERS)
        if not self._index.size == len(self._questions) == len(self._answers):
            raise CorruptArtifact("engines.bad_weights", file=folder / ANSWERS, reason="rows")

    def near(self, question: str) -> list[conversations.Message]:
        """The examples as a conversation."""
        places = best(self._index.search(terms(question)), self._most)
        found = []
        for place in places[::-1].tolist():
            found.append(conversations.Message("user", self._questions[place]))
            found.append(conversations.Message("assistant", self._answers[place]))
        return found
