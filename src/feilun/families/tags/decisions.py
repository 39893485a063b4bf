"""From logits to tags: probabilities, thresholds, and what is decided by them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from feilun.families.base import Answers

__all__ = [
    "best_threshold",
    "certainty",
    "decided",
    "in_words",
    "limits_of",
    "probabilities",
    "tags_of",
]

_LOWEST, _HIGHEST = 0.05, 0.95


def tags_of(target: str) -> tuple[str, ...]:
    """The tags of a canonical target; none for a text that is not one."""
    return tuple(json.loads(target)) if target.startswith("[") else ()


def best_threshold(chances: np.ndarray, marks: np.ndarray) -> float:
    """The probability from which saying yes has the best F1: half way to the next lower one, so
    that rounding decides nothing. `chances` and `marks` (boolean) are (n,), some marks true."""
    order = np.argsort(-chances, kind="stable")
    sorted_chances, hits = chances[order], np.cumsum(marks[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + hits[-1])
    # Between equal probabilities there is no threshold.
    ends = np.append(sorted_chances[1:] < sorted_chances[:-1], True)
    best = int(np.argmax(np.where(ends, f1, -1.0)))
    below = sorted_chances[best + 1] if best + 1 < len(order) else 0.0
    limit = (float(sorted_chances[best]) + float(below)) / 2
    return round(min(max(limit, _LOWEST), _HIGHEST), 6)


def probabilities(raw: np.ndarray) -> np.ndarray:
    """Probabilities of logits, float64."""
    logits = np.clip(np.asarray(raw, np.float64), -60, 60)
    result: np.ndarray = 1 / (1 + np.exp(-logits))
    return result


def logits(chances: np.ndarray) -> np.ndarray:
    """The reverse of `probabilities`, float32."""
    chances = np.clip(chances, 1e-9, 1 - 1e-9)
    result: np.ndarray = np.log(chances / (1 - chances)).astype(np.float32)
    return result


def limits_of(labels: Sequence[str], point: Mapping[str, Any]) -> np.ndarray:
    """The probability from which each tag is given, float64 (tags,)."""
    shared, own = point.get("threshold", 0.5), point.get("thresholds", {})
    return np.array([own.get(label, shared) for label in labels], np.float64)


def certainty(chances: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """See `Tags`: (rows,), of the least certain decision."""
    above = (chances - limits) / (1 - limits)
    below = (limits - chances) / limits
    sure = 0.5 + 0.5 * np.where(chances >= limits, above, below)
    result: np.ndarray = sure.min(axis=1, initial=1.0)
    return result


def decided(answers: Answers, labels: tuple[str, ...]) -> np.ndarray:
    """The answers in the form of `Tags.truth` for `labels`."""
    given = probabilities(answers.raw) >= limits_of(answers.labels, answers.point)
    found = np.zeros((len(given), len(labels) + 1), np.int16)
    places = {label: place for place, label in enumerate(labels)}
    for tag, label in enumerate(answers.labels):
        found[:, places.get(label, -1)] += given[:, tag]
    return found


def in_words(tags: Iterable[str]) -> str:
    """``late, refund``; a dash for none."""
    return ", ".join(tags) or "–"
