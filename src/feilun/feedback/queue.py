"""Which answers are worth a person's time: unsure, unlike what was learned, often asked.

The worth of an answer is uncertainty x novelty x frequency. Answers that the model left to a person
come before all others. Texts that are nearly the same (one word more, another case, other
punctuation) show up once and count as often asked; so do equal images.

Beside them a part is drawn at random from all answers: labels of answers that were chosen for
being doubtful say nothing about how right the others are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Sequence
from hashlib import sha256

import numpy as np

from feilun.feedback.alike import fingerprint, text_of, vectors
from feilun.store.ledger_records import Prediction
from feilun.types import Item

__all__ = ["Novelty", "Place", "abstained", "audit_draw", "review_queue", "weave"]

Place = tuple[str, int]
"""Which answer of which call."""

Novelty = Callable[[Sequence[Item]], np.ndarray]
"""From 0 (made of what the training rows are made of) to 1 (nothing of it was ever seen)."""

SAME = 0.85
"""Cosine similarity of character trigrams from which two texts count as the same."""

_LOOKED_AT = 2000
_BLOCK = 256


def review_queue(
    predictions: Iterable[Prediction], limit: int = 100, *, novelty: Novelty | None = None
) -> list[Prediction]:
    """Up to `limit` answers to look at, the most useful first.

    Takes answers without feedback; those whose input is no longer kept are left out. Of answers to
    nearly the same input the least certain one stands for all. The 2,000 least certain ones are
    compared with one another. Without `novelty` every input is as new as any other.
    """
    open_ones = [row for row in predictions if row.stored and not row.purged]
    open_ones.sort(key=_certainty)
    exact: dict[str, list[Prediction]] = {}
    for row in open_ones:
        mark = fingerprint(row.input)
        if mark in exact:
            exact[mark].append(row)
        elif len(exact) < _LOOKED_AT:
            exact[mark] = [row]
    first = [same[0] for same in exact.values()]
    rows, often = _distinct(first, np.array([len(same) for same in exact.values()], np.float64))
    if not rows:
        return []
    new = np.ones(len(rows)) if novelty is None else novelty([row.input for row in rows])
    doubt = np.array([_uncertainty(row) for row in rows])
    worth = doubt * new**_TEMPER * np.log2(1 + often)
    worth[[abstained(row) for row in rows]] += _FIRST
    order = np.argsort(-worth, kind="stable")
    return [rows[place] for place in order[:limit]]


_FIRST = 1000.0
_TEMPER = 0.25  # novelty as it is sent people after oddities: fewer labels were saved
_LEAST = 0.02  # of a doubt: sure answers keep their order among themselves


def _uncertainty(row: Prediction) -> float:
    return (
        max(_LEAST, 1 - _certainty(row) / 2) if row.margin is None else max(_LEAST, 1 - row.margin)
    )


def _certainty(row: Prediction) -> float:
    """0 for what the model left to a person, else the margin; without one, the least that the
    score allows; without either, the end."""
    if abstained(row):
        return -1.0
    if row.margin is not None:
        return row.margin
    return 2.0 if row.score is None else 2 * row.score - 1


def abstained(row: Prediction) -> bool:
    """Whether the model was too unsure to answer by itself."""
    return bool(row.output.get("abstained"))


def _distinct(
    rows: Sequence[Prediction], counts: np.ndarray
) -> tuple[list[Prediction], np.ndarray]:
    """The rows without near-duplicates of earlier ones, and how often each was asked in all."""
    texts = [text_of(row.input) for row in rows]
    if not any(texts):
        return list(rows), counts
    marks = vectors(texts)
    chosen: list[int] = []
    often = counts.copy()
    covered = np.zeros(len(rows), bool)
    for start in range(0, len(rows), _BLOCK):
        block = range(start, min(start + _BLOCK, len(rows)))
        alike = (marks[block.start :] @ marks[block.start : block.stop].T).tocsc()
        for place in block:
            if covered[place]:
                continue
            chosen.append(place)
            begin, end = alike.indptr[place - start], alike.indptr[place - start + 1]
            near = alike.indices[begin:end][alike.data[begin:end] >= SAME] + start
            near = near[(near > place) & ~covered[near]]
            often[place] += counts[near].sum()
            covered[near] = True
    return [rows[at] for at in chosen], often[chosen]


def audit_draw(places: Iterable[Place], count: int, done: Container[Place]) -> list[Place]:
    """`count` of the answers at `places`, drawn at random, the same ones until they are `done`:
    those with the smallest hashes of their ids, which nobody can choose."""
    return sorted((place for place in places if place not in done), key=_lot)[:count]


def _lot(place: Place) -> bytes:
    return sha256("{}:{}".format(*place).encode()).digest()


def weave(
    ranked: Sequence[Prediction], drawn: Sequence[Prediction], limit: int
) -> list[Prediction]:
    """Both in one order, the drawn ones evenly spread, so that who ends early has done his share
    of them. What is in both stands where it comes first."""
    queue: dict[tuple[str, int], Prediction] = {}
    left = iter(ranked)
    every = limit / len(drawn) if drawn else math.inf
    at = 0
    while len(queue) < limit:
        row = None
        if at < len(drawn) and len(queue) >= every * (at + 1) - 1:
            row = drawn[at]
            at += 1
        else:
            row = next((one for one in left if (one.prediction_id, one.index) not in queue), None)
            if row is None and at < len(drawn):
                row = drawn[at]
                at += 1
        if row is None:
            break
        queue.setdefault((row.prediction_id, row.index), row)
    return list(queue.values())
