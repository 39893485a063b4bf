"""Whether a stated probability means what it says, and the temperature that mends it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feilun.metrics.probabilities import softmax

__all__ = ["BINS", "Bin", "bin_of", "calibration_error", "fit_temperature", "reliability"]

BINS = 15
"""Bins of about equally many rows."""

_COLDEST, _HOTTEST = 0.05, 20.0


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of about equal confidence: how many, the mean probability stated for the answer, and
    the share of answers that are right."""

    rows: int
    stated: float
    right: float


def bin_of(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin (0 to `bins` - 1) of each row: bins hold equally many rows, except that rows of equal
    confidence are never parted."""
    order = np.sort(confidence)
    rank = np.searchsorted(order, confidence, side="left")
    result: np.ndarray = rank * bins // max(1, len(confidence))
    return result


def reliability(truth: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> list[Bin]:
    """The bins that hold rows, from the least confident to the most."""
    confidence, right = _answers(truth, probabilities)
    place = bin_of(confidence, bins)
    rows = np.bincount(place, minlength=bins)
    stated = np.bincount(place, confidence, bins)
    hits = np.bincount(place, right, bins)
    return [
        Bin(int(n), float(s / n), float(h / n))
        for n, s, h in zip(rows, stated, hits, strict=True)
        if n
    ]


def calibration_error(truth: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: the mean over rows of how far their bin's stated probability is
    from the share that was right. Noise alone makes it positive: about ``0.4 * sqrt(bins / rows)``
    times the spread of right and wrong."""
    found = reliability(truth, probabilities, bins)
    rows = sum(one.rows for one in found)
    return sum(one.rows * abs(one.stated - one.right) for one in found) / max(1, rows)


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


def _answers(truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    answer = probabilities.argmax(axis=1)
    return probabilities.max(axis=1), (answer == truth).astype(np.float64)
