"""How sure a figure is: intervals of shares, of differences on the same rows, and resampling."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from feilun.metrics.scores import Score, percentiles

__all__ = [
    "paired_difference",
    "paired_error",
    "paired_risk",
    "resampled",
    "wilson",
]

_CHUNK = 8_000_000  # weights held at a time, 4 bytes each


def wilson(hits: float, rows: float, confidence: float = 0.95) -> Score:
    """The share `hits` / `rows` with Wilson's interval, which holds what it promises also for few
    rows and for shares of 0 and 1. No rows: anything from 0 to 1, shown as 0."""
    if rows <= 0:
        return Score(0.0, 0.0, 1.0)
    z2 = _z(confidence) ** 2
    share = hits / rows
    middle = (hits + z2 / 2) / (rows + z2)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * rows)) / rows) / (1 + z2 / rows)
    low = 0.0 if hits <= 0 else middle - half
    high = 1.0 if hits >= rows else middle + half
    return Score(share, max(0.0, min(low, share)), min(1.0, max(high, share)))


def resampled(
    rows: int, resamples: int, seed: int = 0, blocks: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Plain bootstrap: how often each of `rows` is drawn in each resample, float32 (part, rows);
    the parts make up `resamples`. The same arguments give the same draws. With `blocks`, integers
    (rows,), whole blocks are drawn, as many as there are (cluster bootstrap)."""
    if blocks is not None:
        _, member = np.unique(blocks, return_inverse=True)
        most = max(1, _CHUNK // max(1, rows))
        for weights in resampled(int(member.max()) + 1, resamples, seed):
            for start in range(0, len(weights), most):
                yield weights[start : start + most, member]
        return
    generator = np.random.default_rng(seed)
    part = max(1, min(resamples, _CHUNK // max(1, rows)))
    for start in range(0, resamples, part):
        count = min(part, resamples - start)
        drawn = generator.integers(0, rows, (count, rows))
        drawn += (np.arange(count) * rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=count * rows)
        yield counts.reshape(count, rows).astype(np.float32)


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Score:
    """The mean of `first` minus that of `second` over the same rows, with its interval.

    Two boolean arrays (right or wrong, row by row) get the interval of Bonett and Price (2012):
    unlike the bootstrap it keeps its promise for few rows, and does not shrink to nothing when no
    row differs. Other values (a loss of each row) are bootstrapped. Raises `ValueError` without
    rows or for arrays of different length.
    """
    first, second = _same_rows(first, second)
    if first.dtype == bool and second.dtype == bool:
        middle, spread = _smoothed(first, second)
        value = (_wins(first, second) - _wins(second, first)) / len(first)
        half = _z(confidence) * spread
        low, high = max(-1.0, middle - half), min(1.0, middle + half)
        return Score(value, min(low, value), max(high, value))
    difference = first.astype(np.float64) - second.astype(np.float64)
    draws = [
        weights @ difference.astype(np.float32) / len(difference)
        for weights in resampled(len(difference), resamples, seed)
    ]
    return percentiles(float(difference.mean()), np.concatenate(draws), confidence)


def paired_risk(first: np.ndarray, second: np.ndarray, margin: float = 0.0) -> float:
    """The probability that `first` is truly worse than `second` by more than `margin`, judged by
    which rows each has right (boolean arrays)."""
    first, second = _same_rows(first, second)
    middle, spread = _smoothed(first, second)
    return NormalDist(middle, spread).cdf(-margin)


def paired_error(first: np.ndarray, second: np.ndarray) -> float:
    """The standard error of the difference between two versions' shares of right rows, one imagined
    win and loss added (boolean arrays)."""
    return _smoothed(*_same_rows(first, second))[1]


def _same_rows(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"two rows of equal length are needed, not {first.shape}, {second.shape}")
    return first, second


def _wins(first: np.ndarray, second: np.ndarray) -> int:
    return int((first & ~second).sum())


def _smoothed(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Mean and standard error of the difference, one imagined win and loss added."""
    rows = len(first) + 2
    won = (_wins(first, second) + 1) / rows
    lost = (_wins(second, first) + 1) / rows
    middle = won - lost
    return middle, math.sqrt(max(0.0, won + lost - middle**2) / rows)


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
