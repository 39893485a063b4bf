"""Scores of predicted numbers: root mean squared error, mean absolute error, R², and the coverage
of the intervals that were stated with them."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from feilun.metrics.intervals import wilson
from feilun.metrics.measured import Measured
from feilun.metrics.scores import Score, percentiles

__all__ = ["Numbers"]


class Numbers(Measured):
    """True numbers beside predicted ones.

    `truth` and `predicted` are float (rows,), `low` and `high` the ends of the stated intervals, if
    there are any: without them ``coverage`` is not defined. R² compares with the mean of the same
    rows, and is not defined where all true numbers are equal. Raises `ValueError` for no rows,
    different lengths, and numbers that are not finite.
    """

    higher_is_better: ClassVar = {"r2": True, "rmse": False, "mae": False, "coverage": True}

    def __init__(
        self,
        truth: np.ndarray,
        predicted: np.ndarray,
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
    ) -> None:
        self.truth, self.predicted = _numbers(truth), _numbers(predicted)
        self.rows = len(self.truth)
        self.low = None if low is None else _numbers(low)
        self.high = None if high is None else _numbers(high)
        given = (self.predicted, self.low, self.high)
        if any(one is not None and len(one) != self.rows for one in given):
            raise ValueError("truth, predictions and intervals are of different lengths")
        error = self.predicted - self.truth
        # Centred, so that large numbers with small differences lose no digits.
        centred = self.truth - self.truth.mean()
        self._varies = bool(np.ptp(self.truth) > 0)
        self._inside = None
        if self.low is not None and self.high is not None:
            self._inside = (self.low <= self.truth) & (self.truth <= self.high)
        inside = np.zeros(self.rows) if self._inside is None else self._inside
        self._sums = np.stack([error**2, np.abs(error), centred, centred**2, inside], axis=1)

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        total = weights.sum(axis=1, dtype=np.float64)
        squares, absolute, level, spread, inside = (weights @ self._sums / total[:, None]).T
        variance = spread - level**2
        # A draw of one row many times has no variance of its own.
        defined = (variance > 1e-12 * spread.max()) & self._varies
        r2 = 1 - np.divide(squares, variance, out=np.full_like(squares, np.nan), where=defined)
        missing = np.full(len(total), np.nan)
        return {
            "r2": r2,
            "rmse": np.sqrt(squares),
            "mae": absolute,
            "coverage": missing if self._inside is None else inside,
        }

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        low = None if self.low is None else self.low[rows]
        high = None if self.high is None else self.high[rows]
        return type(self)(self.truth[rows], self.predicted[rows], low, high)

    def hits(self, metric: str) -> np.ndarray | None:
        """Whether each stated interval holds its true number, for ``coverage``."""
        return self._inside if metric == "coverage" else None

    def interval(self, metric: str, value: float, drawn: np.ndarray, confidence: float) -> Score:
        """Wilson's for ``coverage``, else percentiles of the draws that define the metric."""
        if metric == "coverage":
            return wilson(value * self.rows, self.rows, confidence)
        return percentiles(value, drawn[np.isfinite(drawn)], confidence)


def _numbers(values: np.ndarray) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"finite numbers are needed, one a row, not shape {array.shape}")
    return array
