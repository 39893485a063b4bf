"""A figure with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Score", "percentiles"]


@dataclass(frozen=True, slots=True)
class Score:
    """What was measured, and the interval in which the true figure lies with the confidence that
    was asked for (95 % unless said otherwise): ``low <= value <= high``."""

    value: float
    low: float
    high: float


def percentiles(value: float, replicates: np.ndarray, confidence: float = 0.95) -> Score:
    """The percentile interval of bootstrap `replicates`, widened where needed to hold `value`. NaN
    among them, of draws that leave the figure undefined, says nothing."""
    tail = (1 - confidence) / 2
    known = replicates[~np.isnan(replicates)]
    low, high = np.quantile(known if len(known) else [value], (tail, 1 - tail)).tolist()
    return Score(value, min(low, value), max(high, value))
