"""Spans as one tag for each word of a text, which is how a network learns them.

The tags are BIO (Ramshaw and Marcus 1995): ``B-KIND`` begins a span, ``I-KIND`` goes on with it,
``O`` belongs to none. What a network reads of a text comes as an `Encoded` with three arrays beside
its own: ``starts`` and ``ends`` (words,) are the places of the words in the text, ``at`` (words,)
is the token that stands for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.families.objective import IGNORED, Objective
from feilun.metrics.probabilities import log_softmax
from feilun.metrics.spans import Span
from feilun.metrics.spans import Spans as Measures
from feilun.types import Encoded

if TYPE_CHECKING:
    import torch

__all__ = ["TagCrossEntropy", "answered", "names", "runs", "tagged", "tags_of"]

Run = tuple[int, int, int]
"""The first word of a span, the one after its last, and its kind's place among the labels."""


def names(labels: Sequence[str]) -> tuple[str, ...]:
    """The tags of kinds of spans: ``O``, then for each kind its B and its I."""
    return ("O", *(f"{mark}-{label}" for label in labels for mark in "BI"))


def tags_of(
    starts: np.ndarray, ends: np.ndarray, spans: Sequence[Span], labels: Sequence[str]
) -> np.ndarray:
    """The tag of each word, int64. A span that begins or ends inside a word covers all of it; of
    two spans in one word the first counts. Kinds that are not among `labels` are no spans."""
    tags = np.zeros(len(starts), np.int64)
    free = 0
    for start, end, label in sorted(spans):
        first = max(free, int(np.searchsorted(ends, start, "right")))
        last = int(np.searchsorted(starts, end, "left"))
        if label in labels and first < last:
            begin = 1 + 2 * labels.index(label)
            tags[first] = begin
            tags[first + 1 : last] = begin + 1
            free = last
    return tags


def runs(tags: Sequence[int]) -> Iterator[Run]:
    """The spans that `tags` tell. An I that continues nothing begins a span."""
    begun, kind = 0, -1
    for place, tag in enumerate([*tags, 0]):
        goes_on = tag > 0 and tag % 2 == 0 and (tag - 1) // 2 == kind
        if goes_on:
            continue
        if kind >= 0:
            yield begun, place, kind
        begun, kind = place, (tag - 1) // 2 if tag else -1


def answered(stated: np.ndarray) -> np.ndarray:
    """The most probable tags (words,) of which every I continues a span of its kind, by the Viterbi
    algorithm; `stated` (words, tags) are log-probabilities."""
    words, count = stated.shape
    if not words:
        return np.zeros(0, np.int64)
    before = np.zeros((words, count), np.int64)
    score = stated[0].copy()
    score[2::2] = -np.inf
    begins, inside = np.arange(1, count, 2), np.arange(2, count, 2)
    for place in range(1, words):
        best = int(score.argmax())
        after = np.full(count, score[best])
        before[place] = best
        stays = score[inside] > score[begins]
        before[place, inside] = np.where(stays, inside, begins)
        after[inside] = np.where(stays, score[inside], score[begins])
        score = after + stated[place]
    tags = np.empty(words, np.int64)
    tags[-1] = score.argmax()
    for place in range(words - 1, 0, -1):
        tags[place - 1] = before[place, tags[place]]
    return tags


def tagged(outputs: np.ndarray, item: Encoded) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, ends and log-probabilities of the tags of all words of `item`, whose rows' `outputs`
    are logits (rows, tokens, tags). A word in two rows counts where more stands on both sides."""
    starts = np.concatenate([row.arrays["starts"] for row in item.rows])
    ends = np.concatenate([row.arrays["ends"] for row in item.rows])
    pairs = list(zip(outputs, item.rows, strict=True))
    logits = np.concatenate([one[row.arrays["at"]] for one, row in pairs])
    stated = log_softmax(logits)
    if not item.parts:
        return starts, ends, stated
    around = [np.minimum(row.arrays["at"], row.cost - 1 - row.arrays["at"]) for row in item.rows]
    order = np.lexsort((-np.concatenate(around), starts))
    chosen = order[np.unique(starts[order], return_index=True)[1]]
    return starts[chosen], ends[chosen], stated[chosen]


class TagCrossEntropy(Objective):
    """The cross-entropy of a tag a word, of logits (rows, tokens, tags)."""

    def __init__(self, labels: Sequence[str], smoothing: float) -> None:
        self._labels = tuple(labels)
        self._smoothing = smoothing

    def targets(self, truth: Sequence[Any], batch: Sequence[Encoded]) -> np.ndarray:
        """int64 (rows, tokens): the tag where a token stands for a word."""
        found = np.full((len(batch), max(row.cost for row in batch)), IGNORED, np.int64)
        for place, (spans, row) in enumerate(zip(truth, batch, strict=True)):
            arrays = row.arrays
            tags = tags_of(arrays["starts"], arrays["ends"], spans, self._labels)
            found[place, arrays["at"]] = tags
        return found

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See `Objective`."""
        import torch

        return torch.nn.functional.cross_entropy(
            outputs.flatten(0, 1),
            targets.flatten(),
            ignore_index=IGNORED,
            label_smoothing=self._smoothing,
            reduction="sum",
        )

    def validated(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[Measures, float]:
        """Spans of words, in each row by itself."""
        truth, found, losses = [], [], []
        for row, wanted in zip(outputs, targets, strict=True):
            counts = wanted != IGNORED
            stated, right = log_softmax(row[counts]), wanted[counts]
            truth.append(self._spans(right))
            found.append(self._spans(answered(stated)))
            losses.append(-stated[np.arange(len(right)), right])
        every = np.concatenate(losses) if losses else np.zeros(0)
        return Measures(truth, found), float(every.mean()) if len(every) else 0.0

    def _spans(self, tags: np.ndarray) -> tuple[Span, ...]:
        found = runs(tags.tolist())
        return tuple((first, last, self._labels[kind]) for first, last, kind in found)
