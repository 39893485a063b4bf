"""Area under the ROC curve, with the part that every row has in its uncertainty."""

from __future__ import annotations

import numpy as np

__all__ = ["area"]


def area(positive: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray] | None:
    """The probability that a positive row has a higher score than another (ties count half), and
    its influence function: (rows,) float64 with mean 0; the variance of the area is the mean of
    its squares over the rows (DeLong 1988). None unless there are rows of both kinds.
    """
    positive = np.asarray(positive, dtype=bool)
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return None
    up, down = np.sort(score[positive]), np.sort(score[~positive])
    part = np.empty(len(positive))
    part[positive] = _below(down, score[positive])  # share of others that this one beats
    part[~positive] = 1 - _below(up, score[~positive])  # share of positives that beat this one
    value = float(part[positive].mean())
    share = np.where(positive, len(positive) / count, len(positive) / others)
    return value, (part - value) * share


def _below(ordered: np.ndarray, scores: np.ndarray) -> np.ndarray:
    left = np.searchsorted(ordered, scores, side="left")
    right = np.searchsorted(ordered, scores, side="right")
    result: np.ndarray = (left + right) / (2 * len(ordered))
    return result
