"""What a family of answers must offer to be judged: its metrics under any weighting of the rows.

Intervals, paired comparisons, risks and the number of rows still needed (`metrics.comparison`)
follow from that alone, whether the answers are classes, numbers, spans or rankings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from feilun.metrics.scores import Score, percentiles

__all__ = ["Measured"]


class Measured(ABC):
    """One version's answers to the rows of an evaluation beside the truth, arranged once so that
    any weighting of the rows is scored by few sums."""

    higher_is_better: ClassVar[Mapping[str, bool]]
    """Every metric in the order of reports, and whether more of it is better."""
    rows: int
    """Number of rows, at least 1."""
    blocks: np.ndarray | None = None
    """Of rows whose errors go together (answers from one moment, about one person) the name of
    their block, any integers (rows,): blocks are resampled then. None: every row by itself."""

    @abstractmethod
    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Each metric under each of `weights` (draws, rows), which say how often a row counts:
        arrays (draws,). NaN where a weighting leaves a metric undefined."""

    @abstractmethod
    def take(self, rows: np.ndarray) -> Self:
        """The same for the rows that the boolean array `rows` marks."""

    def hits(self, metric: str) -> np.ndarray | None:
        """Right or wrong row by row (boolean), where `metric` is the share of right rows: such a
        share has better intervals than resampling gives. None for every other metric."""
        return None

    def interval(self, metric: str, value: float, drawn: np.ndarray, confidence: float) -> Score:
        """The interval of `metric` from its resampled values; a family that knows a better one for
        some of its metrics overrides this."""
        return percentiles(value, drawn, confidence)
