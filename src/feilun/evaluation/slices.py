"""Accuracy on parts of the rows that a person would ask about: short and long texts, Chinese."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from feilun.evaluation.result import Slice
from feilun.metrics.intervals import wilson

__all__ = ["slices"]

_ROWS = 20
"""A part with fewer rows says nothing and is left out, and its counterpart with it."""
_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_SHARE = 0.2


def slices(texts: Sequence[object], right: np.ndarray, confidence: float) -> tuple[Slice, ...]:
    """The parts, in pairs, where both have enough rows. `right` tells which rows are right."""
    said = [str(text) for text in texts]
    lengths = np.array([len(text) for text in said])
    limit = int(np.median(lengths))
    chinese = np.array(
        [len(_CHINESE.findall(text[:1000])) > _SHARE * min(len(text), 1000) for text in said]
    )
    pairs = (
        ("short", "long", lengths <= limit, limit),
        ("chinese", "other", chinese, None),
    )
    found = []
    for first, second, inside, border in pairs:
        if min(inside.sum(), (~inside).sum()) < _ROWS:
            continue
        for name, rows in ((first, inside), (second, ~inside)):
            count = int(rows.sum())
            score = wilson(int(right[rows].sum()), count, confidence)
            found.append(Slice(name, count, score, border))
    return tuple(found)
