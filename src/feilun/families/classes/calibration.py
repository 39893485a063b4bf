"""Whether a stated probability means what it says, and the temperature that mends it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from feilun.metrics.probabilities import softmax
from feilun.metrics.scores import Score

__all__ = [
    "BINS",
    "Bin",
    "bin_of",
    "bins_for",
    "calibration_score",
    "fit_temperature",
    "reliability",
]

BINS = 15
"""Bins of about equally many rows; fewer where a bin would hold less than 20."""

_ROWS_A_BIN = 20
_COLDEST, _HOTTEST = 0.05, 20.0


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of about equal confidence: how many, the mean probability stated for the answer, and
    the share of answers that are right."""

    rows: int
    stated: float
    right: float


def bins_for(rows: int) -> int:
    """How many bins that many rows are put into: in fuller bins there is less noise."""
    return max(1, min(BINS, rows // _ROWS_A_BIN))


def bin_of(confidence: np.ndarray, bins: int | None = None) -> np.ndarray:
    """The bin (0 to `bins` - 1, by default `bins_for`) of each row: bins hold equally many rows,
    except that rows of equal confidence are never parted."""
    bins = bins or bins_for(len(confidence))
    order = np.sort(confidence)
    rank = np.searchsorted(order, confidence, side="left")
    result: np.ndarray = rank * bins // max(1, len(confidence))
    return result


def reliability(truth: np.ndarray, probabilities: np.ndarray, bins: int | None = None) -> list[Bin]:
    """The bins that hold rows, from the least confident to the most."""
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    place = bin_of(confidence, bins)
    rows = np.bincount(place)
    stated = np.bincount(place, confidence)
    hits = np.bincount(place, right)
    return [
        Bin(int(n), float(s / n), float(h / n))
        for n, s, h in zip(rows, stated, hits, strict=True)
        if n
    ]


def calibration_score(
    truth: np.ndarray, probabilities: np.ndarray, confidence: float = 0.95
) -> Score:
    """Expected calibration error: the mean over rows of how far the probability that their bin
    states is from the share that was right.

    Chance alone makes it positive. The interval reaches down from the value less the part that
    chance would give to gaps of the size seen, and up from the value itself; in simulations of
    50 to 1,000 rows it held the true error in 93 to 100 % of samples.
    """
    found = reliability(truth, probabilities)
    rows = sum(one.rows for one in found)
    weight = np.array([one.rows / rows for one in found])
    gap = np.array([abs(one.stated - one.right) for one in found])
    count = weight * rows
    share = (np.array([one.right for one in found]) * count + 1) / (count + 2)
    spread = np.sqrt(share * (1 - share) / count)
    value = float(weight @ gap)
    noise = float(weight @ _folded(np.sqrt(np.maximum(0, gap**2 - spread**2)), spread))
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt((weight**2) @ spread**2)
    return Score(value, min(value, max(0.0, value - noise - half)), min(1.0, value + half))


def _folded(gap: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """How much larger than `gap` the absolute value of a normal variable of this mean is."""
    normal = NormalDist()
    below = np.array([normal.cdf(-ratio) for ratio in (gap / spread).tolist()])
    peak = spread * math.sqrt(2 / math.pi) * np.exp(-(gap**2) / (2 * spread**2))
    result: np.ndarray = peak - 2 * gap * below
    return result


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature between 0.05 and 20 that makes `truth` most probable under
    ``softmax(logits / temperature)``; 1.0 without rows. `truth` holds label indices.

    The loss is convex in 1 / temperature, so Newton's steps find the one minimum.
    """
    if not len(truth):
        return 1.0
    z = np.asarray(logits, dtype=np.float64)
    z = z - z.max(axis=1, keepdims=True)
    wanted = z[np.arange(len(z)), truth]
    low, high = 1 / _HOTTEST, 1 / _COLDEST
    factor = 1.0
    for _ in range(60):
        p = softmax(z * factor)
        mean = (p * z).sum(axis=1)
        slope = float((mean - wanted).mean())
        curve = float(((p * z**2).sum(axis=1) - mean**2).mean())
        if slope > 0:
            high = factor
        else:
            low = factor
        step = factor - slope / curve if curve > 1e-12 else (low if slope > 0 else high)
        if not low <= step <= high:
            step = (low + high) / 2
        if abs(step - factor) < 1e-9 * factor:
            break
        factor = step
    return 1 / factor
