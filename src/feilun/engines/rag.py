"""Answers from documents written by a language model (retrieval-augmented generation; Lewis and
others, 2020): BM25 finds passages, the model answers from them and names those it used.

What it writes is not believed: a sentence stays only where the passages that it cites hold four
fifths of its words and all of its numbers (`answers.says`). Where none is left, the version says
that it does not know. How sure an answer is, is the geometric mean of the share of the question's
words that the cited passage has and of the mean probability of the written tokens; below the
operating point's threshold it is not given.

A version is a library (see `_library`), ``model.gguf``, and the model's tokenizer and template. The
card's ``config`` has the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines._library import Library, sentences
from feilun.engines._prompts import fill
from feilun.engines._writer import HAN, WritingEngine, Wrote, tokens_of
from feilun.engines.card import Card
from feilun.families.answers import Passage, Reading, says
from feilun.modalities.language.conversations import Message
from feilun.types import Item

__all__ = ["CONVERTS", "FORMATS", "PROMPTS", "RagEngine", "cited", "load"]

FORMATS = ("rag",)
CONVERTS = False

PROMPTS = {
    "en": "Answer the question from the passages below and from nothing else, in one short "
    "sentence. Write the number of the passage in brackets after it, like this: [1]. If the "
    "passages do not say it, write: I do not know.\n\n{passages}\n\nQuestion: {question}",
    "zh": "请只根据下面的段落回答问题，用一句简短的话，并在句末用方括号写出段落的编号，例如 [1]。"
    "如果段落里没有说明，请写：不知道。\n\n{passages}\n\n问题：{question}",
}
_CITED = re.compile(r"\s*[\[【(（]\s*(?:passage|段落)?\s*(\d{1,2})\s*[\]】)）]", re.I)


class RagEngine(WritingEngine):
    """Answers from a `rag` version."""

    name = "rag"
    longest = 96
    prompts = PROMPTS

    def __init__(self, folder: Path, card: Card, threads: int | None) -> None:
        self._library = Library.read(folder, card.schema.settings)
        super().__init__(folder, card, threads)
        self._many = int(card.config.get("passages", 3))

    @property
    def info(self) -> Mapping[str, Any]:
        return {**super().info, "passages": len(self._library.passages)}

    def _read(self, items: Sequence[Item]) -> tuple[np.ndarray, dict[str, int]]:
        """The readings, and the tokens that the model read and wrote for them."""
        found = np.empty(len(items), dtype=object)
        asked: list[tuple[int, Sequence[Passage], list[int]]] = []
        for place, item in enumerate(items):
            question = str(item)
            whole = self._library.search(question).whole
            settled = self._library.settled(question, whole)
            found[place] = whole if settled is None else settled
            if settled is None and whole.passages:
                passages, ids = self._prompt(question, whole.passages[: self._many])
                asked.append((place, passages, ids))
        wrote = self._writer.write([ids for *_, ids in asked], self._longest)
        for (place, passages, _), one in zip(asked, wrote, strict=True):
            found[place] = self._believed(str(items[place]), found[place], passages, one)
        return found, tokens_of(wrote)

    def _prompt(
        self, question: str, passages: Sequence[Passage]
    ) -> tuple[Sequence[Passage], list[int]]:
        """As many of the passages as there is room for, and the tokens of the prompt."""
        prompt = self._told_of(question)
        while True:
            numbered = "\n\n".join(
                f"[{number}] {f'{one.heading}: ' if one.heading else ''}{one.text}"
                for number, one in enumerate(passages, 1)
            )
            text = fill(prompt, {"passages": numbered, "question": question})
            ids = self._writer.ids([Message("user", text)])
            if len(ids) + self._longest <= self._writer.context or len(passages) < 2:
                return passages, ids
            passages = passages[:-1]

    def _believed(
        self, question: str, whole: Reading, passages: Sequence[Passage], wrote: Wrote
    ) -> Reading:
        """The sentences that what they cite says, and how sure that makes the answer."""
        answer, used = cited(wrote.text, passages)
        if not answer:
            return whole
        share = max(self._library.coverage(question, one) for one in used)
        sure = min(1.0, float(np.sqrt(share * wrote.probability)))
        first, *others = used
        start = max(0, first.text.find(answer))
        end = start + len(answer) if answer in first.text else len(first.text)
        return whole._replace(
            answer=answer, sure=sure, cited=first, start=start, end=end, supports=others
        )


def cited(text: str, passages: Sequence[Passage]) -> tuple[str, list[Passage]]:
    """Of a written answer the sentences that passages say, without their numbers, and these
    passages. A sentence that cites none, or one that does not say it, is held against all: small
    models forget the number more often than the passage."""
    # A number after the full stop belongs to the sentence before it.
    text = re.sub(rf"([.!?。！？])({_CITED.pattern})", r"\2\1", text, flags=re.I)
    kept: list[str] = []
    used: dict[int, None] = {}
    for start, end in sentences(text):
        one = text[start:end]
        named = [int(each) - 1 for each in _CITED.findall(one)]
        plain = _CITED.sub("", one).strip()
        order = [place for place in named if 0 <= place < len(passages)]
        order += [place for place in range(len(passages)) if place not in order]
        for place in order:
            if plain and says(f"{passages[place].heading}\n{passages[place].text}", plain):
                kept.append(plain)
                used[place] = None
                break
    glue = "" if kept and HAN.search(kept[0]) else " "
    return glue.join(kept), [passages[place] for place in used]


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> RagEngine:
    """Opens a version, and the model in a process of its own."""
    engine = RagEngine(folder, card, threads)
    engine.start()
    return engine
