"""The cheap baseline that a candidate must beat.

It is rung zero, a linear model trained on the same rows: whoever composes the steps trains it like
any version and hands over its answers. Rung zero itself is compared with the most frequent label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from feilun.evaluation.answers import Answers

__all__ = ["MAJORITY", "baseline_for", "majority"]

MAJORITY = "majority"
"""The method's name of the constant baseline."""


def baseline_for(method: str) -> Literal["linear", "majority"]:
    """Which baseline judges a version of `method`: ``linear``, and ``majority`` for linear."""
    return "majority" if method == "linear" else "linear"


def majority(train_counts: Mapping[str, int], labels: Sequence[str], rows: int) -> Answers:
    """The baseline that gives every one of `rows` the same answer: the labels' shares in training,
    smoothed by one row each so that none is impossible."""
    counts = np.array([train_counts.get(label, 0) for label in labels], dtype=np.float64) + 1
    logits = np.log(counts / counts.sum())
    return Answers(MAJORITY, MAJORITY, tuple(labels), np.tile(logits, (rows, 1)))
