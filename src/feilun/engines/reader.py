"""Answers from documents read by a network: BM25 finds passages, an encoder with two heads ranks
them anew and finds where in them the answer stands (Karpukhin and others, "Dense Passage Retrieval
for Open-Domain Question Answering", 2020).

A version is a library (see `_library`), the encoder in OpenVINO (``model.xml``, ``model.bin``, the
tokenizer's files), and ``encoder/`` with ``heads.safetensors``, the weights that an update goes on
from. The network reads question and passage together; of each token it gives the logits of being
the answer's first and last one, and of the whole how relevant the passage is. As in SQuAD 2.0
(Rajpurkar and others, 2018) an answer at the first token, which is no word, says that the passage
has none. The card's ``extra`` has `lexical`, the share of BM25 in a passage's rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from feilun.engines._index import length
from feilun.engines._inline import InlineEngine
from feilun.engines._library import Library
from feilun.engines._turns import TURNS
from feilun.engines.card import Card
from feilun.engines.openvino import Requests, compiled_model
from feilun.families.answers import Candidate, Passage, Reading
from feilun.modalities.text.tokens import TextProcessor
from feilun.tasks.base import Arrays
from feilun.types import EngineRequest, Item, Usage

__all__ = [
    "CONVERTS",
    "FORMATS",
    "Net",
    "Ranked",
    "ReaderEngine",
    "Window",
    "Windows",
    "load",
    "ranked",
]

FORMATS = ("reader",)
CONVERTS = False
"""A version is served as it was trained."""

_QUESTION_SHARE = 0.5
"""Of the tokens that are read at once, those of the question at most."""
_ROWS = 16  # windows that are computed at once
_STARTS = 10  # the likeliest first and last tokens that are paired
_CANDIDATES = 5


class Window(NamedTuple):
    """A question with a passage, or a part of a long one, as it is read: token numbers and types
    (tokens,), the place of the passage's first token, and where in the passage each of its tokens
    begins and ends (tokens of the passage, 2)."""

    ids: np.ndarray
    types: np.ndarray
    first: int
    offsets: np.ndarray


class Windows:
    """Makes windows; the same in training and serving."""

    def __init__(self, processor: TextProcessor) -> None:
        from tokenizers import Tokenizer

        self._processor = processor
        self._tokenizer = Tokenizer.from_str(processor.tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._room = processor.max_length - self._tokenizer.num_special_tokens_to_add(True)

    def of(self, question: str, passages: Sequence[str]) -> list[tuple[int, Window]]:
        """The windows of each passage with the place of the passage. Windows of one that is too
        long to be read at once overlap by half."""
        texts = [question, *passages]
        asked, *read = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        asked.truncate(max(1, int(self._room * _QUESTION_SHARE)))
        most = max(2, self._room - len(asked))
        found = []
        for place, whole in enumerate(read):
            whole.truncate(most, stride=most // 2)
            for part in (whole, *whole.overflowing):
                both = self._tokenizer.post_process(asked, part)
                of = np.array([one == 1 for one in both.sequence_ids], bool)
                if not of.any():
                    continue
                offsets = np.array(both.offsets, np.int32)[of]
                ids, types = (np.array(one, np.int32) for one in (both.ids, both.type_ids))
                found.append((place, Window(ids, types, int(of.argmax()), offsets)))
        return found

    def collate(self, batch: Sequence[Window]) -> Arrays:
        """``input_ids`` and ``attention_mask``, and ``token_type_ids`` where the model takes them,
        int64 (batch, longest), padded at the end."""
        longest = max(len(one.ids) for one in batch)
        ids = np.full((len(batch), longest), self._processor.pad_id, np.int64)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)
        for row, one in enumerate(batch):
            ids[row, : len(one.ids)] = one.ids
            mask[row, : len(one.ids)] = 1
            types[row, : len(one.ids)] = one.types
        arrays = {"input_ids": ids, "attention_mask": mask}
        if self._processor.takes_types:
            arrays["token_type_ids"] = types
        return arrays


Net = Callable[[Arrays], np.ndarray]
"""Gives (batch, tokens, 3): logits of the first and of the last token, and, the same at all tokens,
of the passage's relevance."""


class Span(NamedTuple):
    """Characters of a passage, and how probable it is that they are the answer, beside there being
    none in it."""

    start: int
    end: int
    score: float


def _logits_of(net: Net, windows: Windows, made: Sequence[Window]) -> list[np.ndarray]:
    """The network's logits (tokens, 3) of each window."""
    found: list[np.ndarray] = []
    for start in range(0, len(made), _ROWS):
        batch = made[start : start + _ROWS]
        logits = net(windows.collate(batch))
        found += [row[: len(one.ids)] for row, one in zip(logits, batch, strict=True)]
    return found


def _spans_of(window: Window, logits: np.ndarray, longest: int) -> Iterator[Span]:
    """The likeliest spans of at most `longest` tokens in a window, of `logits` (tokens, 3)."""
    inside = slice(window.first, window.first + len(window.offsets))
    none = float(logits[0, 0] + logits[0, 1])
    starts, ends = logits[inside, 0], logits[inside, 1]
    for start in np.argsort(-starts, kind="stable")[:_STARTS].tolist():
        for end in np.argsort(-ends, kind="stable")[:_STARTS].tolist():
            if start <= end < start + longest:
                margin = float(starts[start] + ends[end]) - none
                first, last = int(window.offsets[start, 0]), int(window.offsets[end, 1])
                yield Span(first, last, _sigmoid(margin / 2))


class Ranked(NamedTuple):
    """A passage as the network sees it beside the question: its place among those that were read,
    its `relevance` (0 to 1), and its best spans."""

    place: int
    relevance: float
    spans: Sequence[Span]


def ranked(
    net: Net, windows: Windows, question: str, passages: Sequence[str], longest: int
) -> list[Ranked]:
    """Every passage that has a token, in their order."""
    made = windows.of(question, passages)
    logits = _logits_of(net, windows, [window for _, window in made])
    relevance: dict[int, float] = {}
    spans: dict[int, list[Span]] = {}
    for (place, window), one in zip(made, logits, strict=True):
        relevance[place] = max(relevance.get(place, 0.0), _sigmoid(float(one[0, 2])))
        spans.setdefault(place, []).extend(_spans_of(window, one, longest))
    return [
        Ranked(place, relevance[place], sorted(found, key=lambda span: -span.score))
        for place, found in spans.items()
    ]


class ReaderEngine(InlineEngine):
    """Answers from a `reader` version."""

    name = "reader"

    def __init__(self, folder: Path, card: Card, net: Requests, streams: int, threads: int) -> None:
        self._library = Library.read(folder, card.schema.settings)
        super().__init__(card, slow=True)
        processor = self._task.processor(folder, card.schema.settings)
        assert isinstance(processor, TextProcessor)
        self._windows = Windows(processor)
        self._requests = net
        self._streams, self._threads = streams, threads
        self._many = int(card.config.get("passages", 8))
        self._longest = int(card.config.get("answer_tokens", 40))
        self._lexical = float(card.extra.get("lexical", 0.0))
        TURNS.join(self, streams)

    @property
    def info(self) -> Mapping[str, Any]:
        facts = {"streams": self._streams, "threads": self._threads}
        return {**super().info, **facts, "passages": len(self._library.passages)}

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        found = np.empty(len(items), dtype=object)
        for place, item in enumerate(items):
            found[place] = self._answer_to(str(item))
        return found

    def counted(self, request: EngineRequest) -> Usage:
        tokens = sum(length(str(item)) for item in request.items)
        return Usage(inputs=len(request.items), tokens=tokens)

    def close(self) -> None:
        super().close()
        TURNS.forget(self)

    def _net(self, arrays: Arrays) -> np.ndarray:
        with TURNS.take(self):
            return self._requests(arrays)[0]

    def _answer_to(self, question: str) -> Reading:
        found = self._library.search(question)
        settled = self._library.settled(question, found.whole)
        if settled is not None:
            return settled
        passages = found.whole.passages[: self._many]
        seen = ranked(
            self._net, self._windows, question, [one.text for one in passages], self._longest
        )
        if not seen:
            return found.whole
        scores = {
            one.place: (1 - self._lexical) * one.relevance
            + self._lexical * passages[one.place].score
            for one in seen
        }
        order = sorted(scores, key=lambda place: -scores[place])
        kept: list[Passage] = [passages[place]._replace(score=scores[place]) for place in order]
        kept += [one for place, one in enumerate(found.whole.passages) if place not in scores]
        candidates = _candidates(seen, scores, passages)
        whole = found.whole._replace(passages=kept, candidates=candidates)
        if not candidates:
            return whole
        best = candidates[0]
        cited = best.passage._replace(score=best.score)
        if not cited.document:  # an answer that somebody gave, which no document says
            answer = self._library.given(found.places[order[0]])
            return whole._replace(answer=answer or cited.text, sure=best.score, kind="known")
        return whole._replace(
            answer=best.answer, sure=best.score, cited=cited, start=best.start, end=best.end
        )


def _candidates(
    seen: Sequence[Ranked], scores: Mapping[int, float], passages: Sequence[Passage]
) -> list[Candidate]:
    """The best answers, each text once: a span counts the geometric mean of its own probability and
    its passage's score."""
    found: dict[str, Candidate] = {}
    for one in seen:
        passage = passages[one.place]
        for span in one.spans:
            score = float(np.sqrt(max(0.0, scores[one.place]) * span.score))
            text = passage.text[span.start : span.end]
            if text.strip() and (text not in found or found[text].score < score):
                found[text] = Candidate(text, min(1.0, score), passage, span.start, span.end)
    return sorted(found.values(), key=lambda each: -each.score)[:_CANDIDATES]


def _sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(value, -30, 30))))


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> ReaderEngine:
    """Compiles the encoder as `engines.openvino` does."""
    compiled, streams, threads = compiled_model(folder, card, streams, threads)
    return ReaderEngine(folder, card, Requests(compiled), streams, threads)
