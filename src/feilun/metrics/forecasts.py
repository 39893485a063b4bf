"""Scores of forecasts: errors in units of the naive one, quantile loss, coverage of intervals."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from feilun.metrics.measured import Measured
from feilun.metrics.scores import Score, percentiles

__all__ = ["Forecasts"]


class Forecasts(Measured):
    """True values beside forecast ones, float (rows,).

    ``mase`` is the mean absolute error in units of `scales`, the mean error of repeating the last
    season in each row's series (Hyndman and Koehler, 2006, "Another look at measures of forecast
    accuracy"). ``wql`` is the weighted quantile loss: twice the pinball loss of `low`, `predicted`
    and `high` as quantiles, summed, over the sum of the absolute true values, averaged over the
    three. `share` is the share of values that an interval shall hold; without intervals ``wql``
    and ``coverage`` are not defined.

    `blocks` name the series and the origin that each row was answered from. Errors after one origin
    go together, so that whole blocks are drawn, never single rows. Rows of a single block, such as
    a file that goes on where training ended, are cut into stretches that follow each other instead
    (Künsch, 1989, "The Jackknife and the Bootstrap for General Stationary Observations"): their
    interval tells what another stretch of that time would bring, not another origin.
    """

    higher_is_better: ClassVar = {
        "mase": False,
        "wql": False,
        "coverage": True,
        "rmse": False,
        "mae": False,
    }

    def __init__(
        self,
        truth: np.ndarray,
        predicted: np.ndarray,
        scales: np.ndarray | None = None,
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
        share: float = 0.8,
        blocks: np.ndarray | None = None,
    ) -> None:
        self.truth = np.asarray(truth, np.float64)
        self.predicted = np.asarray(predicted, np.float64)
        self.scales, self.low, self.high, self.share = scales, low, high, share
        self.rows = len(self.truth)
        self.blocks = blocks if blocks is None else _stretches(np.asarray(blocks))
        given = (self.predicted, scales, low, high, blocks)
        if not self.rows or any(one is not None and len(one) != self.rows for one in given):
            raise ValueError("values, forecasts and intervals are of different lengths, or none")
        error = np.abs(self.predicted - self.truth)
        none = np.full(self.rows, np.nan)
        inside, pinball = none, none
        if low is not None and high is not None:
            inside = ((low <= self.truth) & (self.truth <= high)).astype(np.float64)
            tail = (1 - share) / 2
            parts = [(tail, low), (0.5, self.predicted), (1 - tail, high)]
            pinball = sum(_pinball(self.truth, one, level) for level, one in parts) * 2 / 3  # type: ignore[assignment]
        scaled = none if scales is None else error / np.asarray(scales, np.float64)
        self.inside = None if low is None else inside > 0
        """Which intervals hold their true value, boolean (rows,); None without intervals."""
        columns = [scaled, pinball, np.abs(self.truth), inside, error**2, error]
        self._sums = np.stack(columns, axis=1)

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        total = weights.sum(axis=1, dtype=np.float64)
        scaled, pinball, size, inside, squares, error = (weights @ self._sums).T
        wql = np.divide(pinball, size, out=np.full_like(pinball, np.nan), where=size > 0)
        return {
            "mase": scaled / total,
            "wql": wql,
            "coverage": inside / total,
            "rmse": np.sqrt(squares / total),
            "mae": error / total,
        }

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""

        def part(one: np.ndarray | None) -> np.ndarray | None:
            return None if one is None else one[rows]

        return type(self)(
            self.truth[rows],
            self.predicted[rows],
            part(self.scales),
            part(self.low),
            part(self.high),
            self.share,
            part(self.blocks),
        )

    def interval(self, metric: str, value: float, drawn: np.ndarray, confidence: float) -> Score:
        """Percentiles of the draws that define the metric."""
        return percentiles(value, drawn[np.isfinite(drawn)], confidence)


def _stretches(blocks: np.ndarray) -> np.ndarray:
    """`blocks`; a single one in stretches of as many rows as the cube root of all (the length that
    Künsch gives up to a factor)."""
    if len(blocks) < 2 or (blocks != blocks[0]).any():
        return blocks
    rows = np.arange(len(blocks))
    return np.asarray(rows // max(1, round(len(blocks) ** (1 / 3))))


def _pinball(truth: np.ndarray, quantile: np.ndarray, level: float) -> np.ndarray:
    below = truth - quantile
    return np.asarray(np.maximum(level * below, (level - 1) * below), np.float64)
